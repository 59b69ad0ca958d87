"""A GPU, by CUDA's driver: the PTX goes to it as text, and it makes machine code for its processor.

Launches and copies within the device go one after the other on one stream, and return at once; a
copy to the host waits for all before it. Batches come on a second stream, from pinned memory. A
fault in a kernel shows at the next wait, without a place: MINICAFFE_CUDA=emulate names it.
"""

import ctypes
import threading
from collections import deque
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minicaffe.errors import DeviceError

KNOWN = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))  # PTX is compatible upwards
PARAMETERS, SIZE, END = 1, 2, 0  # of cuLaunchKernel's `extra`
NON_BLOCKING = 1  # of a stream: it goes beside stream 0, on which the kernels are
WITHOUT_TIMES = 2  # of an event
FAULTS = (700, 716, 717, 718, 719)  # of a kernel: an address, an instruction


def count() -> int:
    """How many cards there are; 0 without a driver, or without what speaks to it."""
    try:
        from cuda.bindings import driver

        if not int(driver.cuInit(0)[0]):
            error, found = driver.cuDeviceGetCount()
            return 0 if int(error) else int(found)
    except (ImportError, RuntimeError):  # no cuda-bindings, no libcuda
        pass
    return 0


class Way(NamedTuple):
    """Of arrays to the device: pinned memory of the host, memory of the device, and two events."""

    room: int
    pinned: int
    address: int
    arrived: Any
    taken: Any


class Staged:
    """An array on its way; when it is forgotten the way is free for another one."""

    def __init__(self, owner: "Gpu", way: Way) -> None:
        self.owner, self.way = owner, way

    def __del__(self) -> None:
        self.owner.give_back(self.way)


def _room(size: int) -> int:
    """The bytes that an allocation takes: a power of two, or a multiple of a MiB."""
    return 1 << max(size - 1, 255).bit_length() if size <= 1 << 20 else -(-size >> 20) << 20


class Gpu:
    """A card of this machine. Its functions raise DeviceError with the driver's words."""

    name = "gpu"

    def __init__(self, card: int) -> None:
        from cuda.bindings import driver

        self._driver = driver
        self._thread = threading.local()
        self._lock = threading.RLock()
        self._ways: dict[int, deque[Way]] = {}  # unused, by bytes; the first the longest
        self._rooms: dict[int, int] = {}  # of allocations, their bytes
        self._spare: dict[int, list[int]] = {}  # by bytes
        self.device_name = f"cuda:{card}"
        self._call("cuInit", 0)
        self.device = self._call("cuDeviceGet", card)
        self._context = self._call("cuDevicePrimaryCtxRetain", self.device)
        found = (
            self._attribute("COMPUTE_CAPABILITY_MAJOR"),
            self._attribute("COMPUTE_CAPABILITY_MINOR"),
        )
        self.compute_capability = max(each for each in KNOWN if each <= found)
        self.shared_bytes = self._attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
        self._enter()
        self._copies = self._call("cuStreamCreate", NON_BLOCKING)

    def _call(self, function: str, *args: Any) -> Any:
        """Call the driver; its answer without the error code."""
        error, *found = getattr(self._driver, function)(*args)
        if int(error):
            raise DeviceError(self._what_failed(function, error))
        return found[0] if len(found) == 1 else tuple(found)

    def _what_failed(self, function: str, error: Any) -> str:
        _, text = self._driver.cuGetErrorString(error)
        said = f"CUDA: {function}: {text.decode() if text else error}"
        if int(error) in FAULTS:
            said += "; MINICAFFE_CUDA=emulate runs the same kernels and names the line"
        return said

    def _attribute(self, name: str) -> int:
        which = getattr(self._driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(self._call("cuDeviceGetAttribute", which, self.device))

    def _enter(self) -> None:
        """Make the card this thread's."""
        if not getattr(self._thread, "has_entered", False):
            self._call("cuCtxSetCurrent", self._context)
            self._thread.has_entered = True

    def describe(self) -> str:
        """The card's name, compute capability and memory."""
        self._enter()
        name = self._call("cuDeviceGetName", 128, self.device).split(b"\0")[0].decode()
        free, total = self._call("cuMemGetInfo")
        major = self._attribute("COMPUTE_CAPABILITY_MAJOR")
        minor = self._attribute("COMPUTE_CAPABILITY_MINOR")
        gib = 1 << 30
        return (
            f"{name}, compute capability {major}.{minor},"
            f" {total / gib:.1f} GiB of memory ({free / gib:.1f} free)"
        )

    def allocate(self, size: int) -> int:
        """The address of so many bytes, perhaps some that were freed: asking the driver waits."""
        room = _room(size)
        with self._lock:
            spare = self._spare.get(room)
            address = spare.pop() if spare else self._new(room)
            self._rooms[address] = room
        return address

    def _new(self, room: int) -> int:
        self._enter()
        try:
            return int(self._call("cuMemAlloc", room))
        except DeviceError:
            for address in (each for spare in self._spare.values() for each in spare):
                self._call("cuMemFree", address)
            self._spare.clear()
            return int(self._call("cuMemAlloc", room))

    def free(self, address: int) -> None:
        """Keep an allocation for the next one of its size, which comes later on the stream."""
        with self._lock:
            self._spare.setdefault(self._rooms[address], []).append(address)

    def upload(self, address: int, host: Any) -> None:
        """Copy an array of the host to the device."""
        self._enter()
        whole = np.ascontiguousarray(host)
        self._call("cuMemcpyHtoD", address, whole.ctypes.data, whole.nbytes)

    def download(self, address: int, host: Any) -> None:
        """Copy back, after all that was started."""
        self._enter()
        whole = host if host.flags.c_contiguous else np.empty_like(host, order="C")
        self._call("cuMemcpyDtoH", whole.ctypes.data, address, whole.nbytes)
        if whole is not host:
            host[...] = whole

    def stage(self, host: Any) -> "Staged":
        """Begin to copy an array of the host, on a stream beside that of the kernels."""
        self._enter()
        whole = np.ascontiguousarray(host)
        way = self._unused_way(_room(whole.nbytes))
        ctypes.memmove(way.pinned, whole.ctypes.data, whole.nbytes)
        self._call("cuMemcpyHtoDAsync", way.address, way.pinned, whole.nbytes, self._copies)
        self._call("cuEventRecord", way.arrived, self._copies)
        return Staged(self, way)

    def unstage(self, staged: "Staged", address: int, size: int) -> None:
        """Copy what was staged to its place, on the kernels' stream, once it is there."""
        self._enter()
        self._call("cuStreamWaitEvent", 0, staged.way.arrived, 0)
        self._call("cuMemcpyDtoDAsync", address, staged.way.address, size, 0)
        self._call("cuEventRecord", staged.way.taken, 0)

    def _unused_way(self, room: int) -> "Way":
        with self._lock:
            unused = self._ways.get(room)
            way = unused.popleft() if unused else None
        if way is None:
            events = [self._call("cuEventCreate", WITHOUT_TIMES) for _ in range(2)]
            return Way(room, int(self._call("cuMemHostAlloc", room, 0)), self._new(room), *events)
        self._call("cuEventSynchronize", way.arrived)
        self._call("cuEventSynchronize", way.taken)
        return way

    def give_back(self, way: "Way") -> None:
        """Nobody wants what comes by a way any more."""
        with self._lock:
            self._ways.setdefault(way.room, deque()).append(way)

    def fill(self, address: int, value: Any, count: int) -> None:
        """Write a number so many times."""
        self._enter()
        number = np.asarray(value)
        bits = int(number.view(f"u{number.itemsize}"))
        self._call(f"cuMemsetD{8 * number.itemsize}Async", address, bits, count, 0)

    def copy(self, to: int, of: int, size: int) -> None:
        """Copy bytes within the device."""
        self._enter()
        self._call("cuMemcpyDtoDAsync", to, of, size, 0)

    def load(self, ptx: str, name: str) -> Any:
        """A kernel of a text."""
        self._enter()
        module = self._call("cuModuleLoadData", ptx.encode() + b"\0")
        function = self._call("cuModuleGetFunction", module, name.encode())
        attribute = self._driver.CUfunction_attribute
        static = attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
        dynamic = attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        used = int(self._call("cuFuncGetAttribute", static, function))
        self._call("cuFuncSetAttribute", function, dynamic, self.shared_bytes - used)
        return SimpleNamespace(function=function, module=module, shared_bytes=used)

    def launch(
        self, kernel: Any, grid: Any, block: Any, shared: int, arguments: bytes, stream: Any
    ) -> None:
        """Begin a kernel."""
        self._enter()
        size = ctypes.c_size_t(len(arguments))
        block_of = ctypes.create_string_buffer(arguments, len(arguments))
        at, of = ctypes.addressof(block_of), ctypes.addressof(size)
        extra = (ctypes.c_void_p * 5)(PARAMETERS, at, SIZE, of, END)
        self._call(
            "cuLaunchKernel", kernel.function, *grid, *block, shared, stream or 0, 0,
            ctypes.addressof(extra),
        )  # fmt: skip

    def synchronize(self) -> None:
        """Wait until all that was started is done."""
        self._enter()
        self._call("cuCtxSynchronize")
