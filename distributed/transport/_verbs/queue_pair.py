"""A reliable connection to one neighbour: a queue pair, and short messages beside the memory.

The verbs, and where they are:

    ibv_create_comp_channel, ibv_create_cq, ibv_create_qp    __init__
    ibv_modify_qp (INIT, RTR, RTS)                           connect
    ibv_post_recv                                            connect, _receive
    ibv_post_send: RDMA WRITE                                write
    ibv_post_send: RDMA WRITE WITH IMMEDIATE                 tell
    ibv_poll_cq                                              progress
    ibv_get_cq_event, ibv_ack_cq_events, ibv_req_notify_cq   wake

A message is written into the neighbour's desk, a page of memory, in turn into each of its slots;
the immediate data that come with it are its number, and make a completion over there. A write into
the neighbour's arrays makes none: the message that is posted after it does, and a reliable
connection delivers in order. How many messages may be under way is for the callers to see to.
"""

from __future__ import annotations

import secrets
import struct

import numpy as np

from minicaffe.errors import CommunicationError

from .device import Device, Place
from .library import new_channel, status_name, verbs

SLOTS = 8  # messages under way
SLOT = 128  # bytes of one; the first says how many follow
DEPTH = 128  # work requests under way
RETRIES = 6  # 7 is for ever, on soft-RoCE at least
LONGEST_SILENCE = 8.0  # seconds after which a card that acknowledges nothing is given up
HOPS = 64  # routers between two cards that speak RoCE v2

_CARD = struct.Struct("!4sIIHBI39sQI")  # magic, number, PSN, LID, MTU, longest, GID, desk, its key
_MAGIC = b"MCV1"


class QueuePair:
    """One end of a link. Errors name `peer`; `timeout` is the transport's, in seconds."""

    def __init__(self, device: Device, peer: str, timeout: float) -> None:
        self.device = device
        self.peer = peer
        self.posted = self.done = 0  # work requests
        self._timeout = timeout
        self._told = self._heard = 0  # messages
        self._desk = np.zeros(2 * SLOTS * SLOT, np.uint8)  # what comes, what goes
        self._place = device.place(self._desk.data)
        library, kinds = verbs(), verbs().enums
        try:
            self._channel, self.fileno = new_channel(device.context)
            self._completions = library.CQ(
                device.context, DEPTH + 2 * SLOTS, None, self._channel, 0
            )
            capacity = library.QPCap(
                max_send_wr=DEPTH, max_recv_wr=2 * SLOTS, max_send_sge=1, max_recv_sge=1
            )
            settings = library.QPInitAttr(
                qp_type=kinds.IBV_QPT_RC,
                scq=self._completions,
                rcq=self._completions,
                cap=capacity,
            )
            self._pair = library.QP(device.domain, settings)
            self._completions.req_notify()
        except library.PyverbsError as error:
            raise self._broken(error) from error
        self._sequence = secrets.randbelow(1 << 24)
        # A receive takes nothing but the news of a write; version 44 wants a piece of memory.
        piece = library.SGE(self._place.address, 1, self._place.key)
        self._receipt = library.RecvWR(num_sge=1, sg=[piece])
        piece.close()

    @property
    def card(self) -> bytes:
        """What the neighbour must know to connect; CARD_SIZE bytes."""
        port = self.device.port
        return _CARD.pack(
            _MAGIC,
            self._pair.qp_num,
            self._sequence,
            port.lid,
            int(port.active_mtu),
            min(port.max_msg_sz, 1 << 30),
            self.device.gid.encode(),
            self._place.address,
            self._place.remote_key,
        )

    def connect(self, card: bytes) -> None:
        """Be ready to receive from the neighbour of this card, and to send to it.

        Raises CommunicationError.
        """
        magic, number, sequence, lid, mtu, longest, gid, desk, key = _CARD.unpack(card)
        if magic != _MAGIC:
            raise CommunicationError(f"{self.peer} sent no RDMA card, but {card[:16]!r}")
        library, kinds = verbs(), verbs().enums
        port = self.device.port
        over_ethernet = port.link_layer == kinds.IBV_LINK_LAYER_ETHERNET
        settings = library.QPAttr(port_num=self.device.card.port)
        try:
            route = library.GlobalRoute(
                dgid=library.GID(gid.decode("ascii")),
                sgid_index=self.device.card.gid,
                hop_limit=HOPS,
            )
            settings.ah_attr = library.AHAttr(
                dlid=lid,
                port_num=self.device.card.port,
                is_global=int(over_ethernet or lid == 0),
                gr=route,
            )
            settings.qp_access_flags = kinds.IBV_ACCESS_LOCAL_WRITE | kinds.IBV_ACCESS_REMOTE_WRITE
            settings.path_mtu = min(int(port.active_mtu), mtu)
            settings.dest_qp_num = number
            settings.rq_psn, settings.sq_psn = sequence, self._sequence
            settings.max_rd_atomic = settings.max_dest_rd_atomic = 1
            settings.min_rnr_timer = 12  # 0.64 ms; a message always finds a receive here
            settings.timeout = acknowledge_exponent(self._timeout)
            settings.retry_cnt = settings.rnr_retry = RETRIES
            self._pair.to_rts(settings)
            for _ in range(2 * SLOTS):
                self._pair.post_recv(self._receipt)
        except (library.PyverbsError, ValueError) as error:
            raise self._broken(error) from error
        self._neighbour = desk, key
        self._longest = min(longest, port.max_msg_sz)

    @property
    def room(self) -> int:
        """Work requests that may be posted now."""
        return DEPTH - (self.posted - self.done)

    @property
    def idle(self) -> bool:
        """Whether the neighbour's card has acknowledged everything."""
        return self.posted == self.done

    def write(self, place: Place, start: int, size: int, address: int, key: int) -> int:
        """Post a piece of `size` bytes at most, from `start` on; how many bytes it has.

        It goes to the neighbour's memory: `address` and `key` are those of byte 0. There must be
        room.
        """
        size = min(size, self._longest)
        opcode = verbs().enums.IBV_WR_RDMA_WRITE
        self._post(opcode, place.address + start, size, place.key, address + start, key)
        return size

    def tell(self, message: bytes) -> None:
        """Post a message. There must be room, and SLOTS are under way at most."""
        slot = self._told % SLOTS * SLOT
        mine = SLOTS * SLOT + slot
        whole = bytes([len(message)]) + message
        assert len(whole) <= SLOT, len(message)
        self._desk[mine : mine + len(whole)] = np.frombuffer(whole, np.uint8)
        desk, key = self._neighbour
        opcode = verbs().enums.IBV_WR_RDMA_WRITE_WITH_IMM
        at = self._place.address + mine
        self._post(opcode, at, len(whole), self._place.key, desk + slot, key, self._told)
        self._told += 1

    def _post(self, opcode: int, at: int, size: int, key: int, *there: int) -> None:
        """Post a write. What it is made of is C memory that pyverbs frees by `close` alone."""
        address, remote_key, *number = there
        library = verbs()
        piece = library.SGE(at, size, key)
        request = library.SendWR(
            num_sge=1,
            sg=[piece],
            opcode=opcode,
            imm_data=number[0] & 0xFFFFFFFF if number else 0,
            send_flags=library.enums.IBV_SEND_SIGNALED,
        )
        try:
            request.set_wr_rdma(remote_key, address)
            self._pair.post_send(request)
        except library.PyverbsError as error:
            raise self._broken(error) from error
        finally:
            request.close()
            piece.close()
        self.posted += 1

    def progress(self) -> list[bytes]:
        """The messages that have come; counts what is done. Does not wait.

        Raises CommunicationError when the connection has broken.
        """
        library, kinds = verbs(), verbs().enums
        messages = []
        try:
            while True:
                count, found = self._completions.poll(SLOTS)
                for each in found:
                    if each.status != kinds.IBV_WC_SUCCESS:
                        raise self._broken(status_name(each.status))
                    if each.opcode == kinds.IBV_WC_RECV_RDMA_WITH_IMM:
                        messages.append(self._receive(each.imm_data))
                    else:
                        self.done += 1
                if count < SLOTS:
                    return messages
        except library.PyverbsError as error:
            raise self._broken(error) from error

    def _receive(self, number: int) -> bytes:
        """Take a message from the desk, and be ready for one more."""
        if number & 0xFFFFFFFF != self._heard & 0xFFFFFFFF:
            raise CommunicationError(
                f"{self.peer} sent message {number} where {self._heard} was due"
            )
        slot = self._heard % SLOTS * SLOT
        self._heard += 1
        self._pair.post_recv(self._receipt)
        whole = self._desk[slot : slot + SLOT].tobytes()
        return whole[1 : 1 + whole[0]]

    def wake(self) -> None:
        """Take the event that has made `fileno` readable, and ask for the next.

        Completions come without one until then: call `progress` before waiting again.
        """
        library = verbs()
        try:
            self._channel.get_cq_event(self._completions)
            self._completions.ack_events(1)
            self._completions.req_notify()
        except library.PyverbsError as error:
            raise self._broken(error) from error

    def _broken(self, why: object) -> CommunicationError:
        return CommunicationError(f"the link to {self.peer} broke ({why})")

    def close(self) -> None:
        """Break the connection."""
        self._receipt.close()
        for each in (self._pair, self._completions, self._channel):
            each.close()
        self._desk = np.zeros(0, np.uint8)  # and with the page its registration
        self._place = Place(0, 0, 0, None)


CARD_SIZE = _CARD.size


def acknowledge_exponent(timeout: float) -> int:
    """The field `timeout` of a queue pair: the card sends again after 4.096 us * 2^this.

    A card that never acknowledges is so given up within the transport's timeout, and in 8 s.
    """
    longest = min(timeout, LONGEST_SILENCE) / (RETRIES + 1)
    exponent = 8
    while exponent < 31 and 4.096e-6 * 2 ** (exponent + 1) <= longest:
        exponent += 1
    return exponent
