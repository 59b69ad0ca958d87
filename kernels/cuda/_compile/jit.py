"""How Python functions become kernels of a GPU: the decorators `kernel` and `inner`.

    @kernel
    def relu(x, y, slope):
        i = grid()
        if i < y.size:
            y[i] = x[i] if x[i] > 0 else slope * x[i]

    relu[blocks, 256](x, y, 0.1)          a grid of blocks of 256 threads
    relu.over(y.size)(x, y, 0.1)          a thread for each of so many elements

`kernel[grid, block, stream, shared]`: grid and block are numbers or tuples of up to three, the
stream one of `_backend.streams`, shared the bytes of `dynamic_shared`. Arguments are arrays of the
device, numbers, None and tuples of these. A kernel is compiled at its first launch with arguments
of new types, and kept on disk (`ptx.py`). What runs it is the backend (`_backend`): a GPU, or one
of two emulators.

`@inner` is for functions that kernels call. `@kernel(fastmath=True)` allows what `_compile/ptx.py`
says; no other option changes what a kernel computes.
"""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any, overload

from minicaffe.errors import KernelError, shown

from ..._failure import caller, failure, wrong_count
from .._array import DeviceArray
from .ptx import ptx_of
from .signature import flat, packing, type_of

THREADS = 256  # of a block of `over`
MOST_THREADS = 1024
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
Extent = int | tuple[int, ...]


@overload
def kernel(body: Callable[..., None]) -> "Kernel": ...
@overload
def kernel(**options: Any) -> Callable[[Callable[..., None]], "Kernel"]: ...
def kernel(body: Callable[..., None] | None = None, **options: Any) -> Any:
    """Make a kernel of a function: see the head of this file."""
    return Kernel(body, options) if body else lambda body: Kernel(body, options)


def inner(body: Callable[..., Any]) -> Any:
    """Make a function that kernels call of a Python function."""
    return Inner(body)


class Inner:
    """A function that kernels call; Python cannot."""

    def __init__(self, body: Callable[..., Any]) -> None:
        self.py_func = body
        update_wrapper(self, body)

    @cached_property
    def device_function(self) -> Any:
        """What the compiler takes for it."""
        from numba import cuda

        return cuda.jit(device=True)(self.py_func)

    def __call__(self, *args: Any) -> Any:
        """Only compiled code can."""
        raise TypeError(f"{self.py_func.__name__} is @inner: only kernels call it")


class Kernel:
    """A kernel: `kernel[grid, block](*args)`. What is wrong with it is a KernelError."""

    def __init__(self, body: Callable[..., None], options: dict[str, Any]) -> None:
        assert isinstance(body, FunctionType)
        self.body = body
        self.options = options
        self._loaded: dict[Any, Any] = {}
        update_wrapper(self, body)

    def __getitem__(self, config: Any) -> "Launch":
        """The kernel with a grid and a block, and a stream and bytes of shared memory if given."""
        grid, block, *more = config
        stream, shared = (*more, None, 0)[:2] if len(more) != 1 else (more[0], 0)
        return Launch(self, _three(grid), _three(block), stream, shared)

    def over(self, count: int, threads: int = THREADS) -> "Launch":
        """The kernel with at least so many threads; nothing runs for a count of 0."""
        return Launch(self, (-(-count // threads), 1, 1), (threads, 1, 1), None, 0)

    def ptx(self, *args: Any, cc: tuple[int, int] = (8, 0)) -> str:
        """The PTX for such arguments, or for types by their names (`signature.py`)."""
        types = args if all(isinstance(arg, str) for arg in args) else tuple(map(type_of, args))
        return ptx_of(self.body, types, cc, **self.options)

    def load(self, types: tuple[str, ...], backend: Any) -> Any:
        """What a backend made of the kernel, for arguments of some types."""
        text = ptx_of(self.body, types, backend.compute_capability, **self.options)
        found = self._loaded[types, backend] = backend.load(text, self.body.__name__)
        return found

    def __call__(self, *args: Any) -> None:
        """A kernel has a grid."""
        raise self.error(f"a launch has a grid and a block: {self.body.__name__}[grid, block](...)")

    def error(self, what: str) -> KernelError:
        """The error of a launch, with the place where it stands."""
        file, line = caller()
        return KernelError(f"{shown(file)}:{line}, kernel {self.body.__name__}: {what}")


class Launch:
    """A kernel with its grid, ready for arguments."""

    __slots__ = ("block", "grid", "kernel", "shared", "stream")

    def __init__(self, kernel: Kernel, grid: Any, block: Any, stream: Any, shared: int) -> None:
        self.kernel, self.grid, self.block = kernel, grid, block
        self.stream, self.shared = stream, shared

    def __call__(self, *args: Any) -> None:
        """Run it; a GPU may not have begun when this returns."""
        if 0 in self.grid:
            return
        kernel = self.kernel
        try:
            types = tuple(map(type_of, args))
            backend = _backend_of(args)
            loaded = kernel._loaded.get((types, backend)) or self._first(types, backend, args)
            packed = packing(types).pack(*flat(args))
        except Exception as error:
            raise failure(kernel.body, args, {}, error) from None
        self._check(loaded, backend)
        backend.launch(loaded, self.grid, self.block, self.shared, packed, self.stream)

    def _first(self, types: tuple[str, ...], backend: Any, args: tuple[Any, ...]) -> Any:
        if wrong_count(self.kernel.body, args, {}):
            raise TypeError("the number of arguments")
        return self.kernel.load(types, backend)

    def _check(self, loaded: Any, backend: Any) -> None:
        """Raise KernelError for a grid or a block that no GPU has."""
        threads = self.block[0] * self.block[1] * self.block[2]
        if not 1 <= threads <= MOST_THREADS:
            raise self.kernel.error(f"a block has 1 to {MOST_THREADS} threads, not {threads}")
        if any(not 1 <= n <= most for n, most in zip(self.grid, MOST_BLOCKS, strict=True)):
            raise self.kernel.error(f"a grid has at most {MOST_BLOCKS} blocks, not {self.grid}")
        needed, most = loaded.shared_bytes + self.shared, backend.shared_bytes
        if needed > most:
            raise self.kernel.error(
                f"its blocks want {needed} bytes of shared memory each, of which there are {most}"
            )


def _backend_of(args: tuple[Any, ...]) -> Any:
    """That of the device where the arrays are."""
    for arg in args:
        if type(arg) is DeviceArray:
            return arg.owner.backend
        if type(arg) is tuple and arg and type(arg[0]) is DeviceArray:
            return arg[0].owner.backend
    raise TypeError("a kernel without an array of the device")


def _three(extent: Extent) -> tuple[int, int, int]:
    x, y, z = (*((extent,) if isinstance(extent, int) else extent), 1, 1)[:3]
    return x, y, z
