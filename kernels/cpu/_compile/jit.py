"""How the loops of this folder become machine code: the decorators `kernel` and `inner`.

`@kernel` is for a loop over arrays, `for i in prange(n)`. Its body is compiled once, for a part of
the loop; a call on several threads runs it for as many parts at once (`_compile/parts.py`), and a
call on one thread runs it for the whole: a process that uses one thread (a Spark executor with one
core a task) then never starts a thread pool. `@inner` and `@inlined` are for functions that kernels
call inside their loops; compiled code can call these, and cannot call a kernel. `@jitable` is for
what both compiled code and Python call.

Compilation happens at the first call with new argument types, and is kept on disk
(`_compile/cache.py`). Some of Numba's habits decide the details here:

* Code is compiled with the arithmetic of float32 as it is written, except for what `FASTMATH`
  allows: contraction to fused multiply-add (`contract`), sums in another order, so that they become
  vector sums (`reassoc`), and a division by what stays the same as a product (`arcp`). NaN,
  infinity and the sign of zero keep their meaning: never `nnan`, `ninf` or `nsz`, with which what
  a kernel gives for them depends on the processor (with `nsz`, and AVX-512, ReLU gave -0).
  `strict=True` takes the liberties back, for code that depends on the order of its operations
  (compensated sums); with `fused=True` all but contraction (the range reduction of an exponential).
  Division by zero gives inf or NaN, as in NumPy, instead of an exception.
* Denormals are 0 while a kernel runs, and indices of rows are looked at (`_compile/lowering.py`).
* Threading layers. OpenMP starts a loop in 1 microsecond, TBB in 1 to 25, Numba's own `workqueue`
  in 40, so OpenMP is asked for first; the user's NUMBA_THREADING_LAYER wins.
* Pools. Two Python threads that run parallel loops at once would have a pool each under OpenMP,
  and kill the process under `workqueue`: so one of them gets the pool, and what another one calls
  in the meantime runs on its own thread.
* Waiting. GNU OpenMP's threads stay awake for milliseconds when they wait for each other. Where
  other processes want the processors too, this keeps out the very thread that is waited for: LeNet
  on two threads was ten times slower than on one. So they wait for some tens of microseconds, which
  is enough from one kernel to the next, and then sleep; OMP_WAIT_POLICY or GOMP_SPINCOUNT win.
* Fork. GNU OpenMP kills a forked child that uses it after its parent did. In such a child
  `num_threads()` is therefore 1, and OpenMP is left alone.

With NUMBA_DISABLE_JIT=1 all bodies run as plain Python, so that a debugger can step into them. With
NUMBA_BOUNDSCHECK=1 (the commands' flag -check) code that indexes an array looks first whether there
is such an element.
"""

import os
import threading
from collections.abc import Callable, Iterable
from functools import cached_property, partial, update_wrapper
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, overload

import numba
import numpy as np
from numba import types
from numba._dispatcher import compute_fingerprint
from numba.extending import register_jitable
from numba.np.ufunc import parallel

from minicaffe.errors import DeviceError
from minicaffe.machine.threads import limit_threads, num_threads

from ..._failure import failure
from ..._source import code_stamp
from .cache import KernelCache
from .lowering import InnerCompiler, PartCompiler
from .parts import in_parts, launch

FASTMATH = {"contract", "reassoc", "arcp"}

config: Any = numba.config
pool: Any = parallel
DISABLED = bool(config.DISABLE_JIT)
CHECKED = bool(config.BOUNDSCHECK)

P = ParamSpec("P")
R = TypeVar("R")

if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


@overload
def kernel(body: Callable[P, None]) -> "Kernel[P]": ...
@overload
def kernel(*, strict: bool) -> Callable[[Callable[P, None]], "Kernel[P]"]: ...
def kernel(body: Callable[P, None] | None = None, *, strict: bool = False) -> Any:
    """Compile a loop over arrays for one thread and for many; `prange` marks the shared loop.

    The body takes arrays and scalars, writes into its arrays, and ends with its one loop over
    `prange(n)`; what stands before it is done by every thread. Every iteration writes its own
    elements; results must not depend on the number of threads, so sums are taken inside an
    iteration, not across them.
    """
    return Kernel(body, strict) if body else lambda body: Kernel(body, strict)


@overload
def inner(body: Callable[P, R]) -> Callable[P, R]: ...
@overload
def inner(*, strict: bool, fused: bool = ...) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def inner(body: Callable[P, R] | None = None, *, strict: bool = False, fused: bool = False) -> Any:
    """Compile a function that kernels call inside their loops, and nobody else."""
    options: dict[str, Any] = {"strict": strict, "fused": fused, "no_cpython_wrapper": True}
    return _compiled(body, **options) if body else lambda body: _compiled(body, **options)


def shared(body: Callable[P, R]) -> Callable[P, R]:
    """Like `inner`, but compiled once for all numbers: for what is large and called from all over.

    Numba compiles a function anew for each literal that it is called with.
    """
    made: Any = inner(body)
    if not DISABLED:
        find = made.get_call_template
        made.get_call_template = lambda args, kws: find(tuple(map(types.unliteral, args)), kws)
    kept: Callable[P, R] = made
    return kept


def inlined(body: Callable[P, R]) -> Callable[P, R]:
    """Like `inner`, but pasted into its caller: a part of it that has a name, quick to compile."""
    made: Callable[P, R] = _compiled(body, inline="always")
    return made


def jitable(body: Callable[P, R]) -> Callable[P, R]:
    """Leave a function as it is, so that Python calls it too, and let compiled code call it."""
    made: Callable[P, R] = register_jitable(body)
    return made


class Kernel(Generic[P]):
    """A compiled loop; call it like the function it was made of.

    What is wrong with it is a KernelError of one sentence (`_compile/failure.py`).
    """

    def __init__(self, body: Callable[P, None], strict: bool) -> None:
        self.body = body
        self.strict = strict
        self._addresses: dict[bytes, int] = {}
        update_wrapper(self, body)
        known.append(self)

    @cached_property
    def part(self) -> Any:
        """The compiled function of (part, parts, the kernel's arguments)."""
        return _compiled(in_parts(self.body), self.strict, compiler=PartCompiler)

    @cached_property
    def whole(self) -> Any:
        """The compiled function of the kernel's arguments, for the whole loop."""
        return partial(self.part, 0, 1)

    def compile_parallel(self) -> None:
        """Compile what several threads need for all that it was called with; run nothing."""
        if not DISABLED and "part" in vars(self):
            pool._launch_threads()  # code from the cache refers to the pool
            for signature in self.part.signatures:
                args = types.BaseTuple.from_types(signature[2:])
                launch.compile((types.int64, types.int64, args))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run on `num_threads()` threads; on one while another Python thread has the pool.

        On one too where all arrays together are small: before a second thread is awake, the first
        could have done the work.
        """
        count = num_threads()
        if count > 1 and _numbers(args) < SHORT:
            count = 1
        if written_down.calls is not None:
            written_down.calls.append((self, args, count == 1))
        if count == 1 and not DISABLED:
            try:
                self.whole(*args, **kwargs)
            except Exception as error:
                raise failure(self.body, args, kwargs, error) from None
            return None
        if DISABLED or not _in_use.acquire(blocking=False):
            return self._run_here(*args, **kwargs)
        try:
            _open_pool(count)
            launch(self._address(args), count, args)
        except Exception as error:
            raise failure(self.body, args, kwargs, error) from None
        finally:
            _in_use.release()
        return None

    def on_one_thread(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run here: for loops so short that to start threads takes longer."""
        if written_down.calls is not None:
            written_down.calls.append((self, args, True))
        self._run_here(*args, **kwargs)

    def _run_here(self, *args: P.args, **kwargs: P.kwargs) -> None:
        if DISABLED:
            with np.errstate(all="ignore"):
                self.body(*args, **kwargs)
            return
        try:
            self.whole(*args, **kwargs)
        except Exception as error:
            raise failure(self.body, args, kwargs, error) from None

    def bound(self, args: tuple[Any, ...], alone: bool) -> Callable[[], None]:
        """A call with these arguments that finds its machine code at once."""
        run = here = partial(self._made(args).entry_point, 0, 1, *args)
        if not alone:
            count, address = num_threads(), self._address(args)
            launched = launch.overloads[types.int64, types.int64, numba.typeof(args)].entry_point
            run = partial(_on_all_threads, count, partial(launched, address, count, args), here)

        def call() -> None:
            try:
                run()
            except Exception as error:
                raise failure(self.body, args, {}, error) from None

        return call

    def _address(self, args: tuple[Any, ...]) -> int:
        """Where the machine code for arguments of these types is."""
        fingerprint = compute_fingerprint(args)
        address = self._addresses.get(fingerprint)
        if address is None:
            made = self._made(args)
            address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
            self._addresses[fingerprint] = address
        return address

    def _made(self, args: tuple[Any, ...]) -> Any:
        """What has been compiled for arguments of these types."""
        kinds = (types.int64, types.int64, *numba.typeof(args).types)
        self.part.compile(kinds)
        return self.part.overloads[kinds]


def _numbers(args: Iterable[Any]) -> int:
    """How many numbers the arrays among some arguments have, or in their tuples."""
    total = 0
    for arg in args:
        if isinstance(arg, np.ndarray):
            total += arg.size
        elif isinstance(arg, tuple):
            total += _numbers(arg)
    return total


known: list[Kernel[Any]] = []  # all whose modules have been imported
functions: list[Any] = []  # compiled ones, of kernels and of what they call


def _compiled(
    body: Callable[P, R],
    strict: bool = False,
    fused: bool = False,
    compiler: type[InnerCompiler] = InnerCompiler,
    **options: Any,
) -> Any:
    if DISABLED:
        return body
    assert isinstance(body, FunctionType)
    named = _named(body)
    dispatcher: Any = numba.njit(
        named,
        nogil=True,
        no_cfunc_wrapper=True,
        error_model="numpy",
        fastmath={"contract"} if fused else False if strict else FASTMATH,
        pipeline_class=compiler,
        **options,
    )
    dispatcher._cache = KernelCache(named, dispatcher.targetoptions, compiler.__name__)
    functions.append(dispatcher)
    return dispatcher


def _named(body: FunctionType) -> FunctionType:
    """A copy whose name, and so the names of its symbols, belongs to this code alone.

    The functions that one factory makes share a name; two pieces of machine code under one name,
    one fresh and one from the cache, would be taken for each other.
    """
    code = body.__code__
    copy = FunctionType(code, body.__globals__, body.__name__, body.__defaults__, body.__closure__)
    copy.__module__ = body.__module__
    copy.__qualname__ = body.__qualname__.replace("<locals>.", "")
    if body.__closure__:
        copy.__qualname__ += f"_{code_stamp(body)[:8]}"
    return copy


# ---- the pool of threads


class _Told(threading.local):
    """What a Python thread has told Numba's pool, which keeps a count for each of them."""

    count = 0


class _WrittenDown(threading.local):
    """Kernels that this thread has called, their arguments, and whether on one thread."""

    calls: list[tuple[Kernel[Any], tuple[Any, ...], bool]] | None = None


written_down = _WrittenDown()
_told = _Told()
SHORT = 1 << 14  # numbers: with an exponential for each, some ten microseconds
SPINS = "2000"  # turns of a loop
_in_use = threading.Lock()


def _open_pool(count: int) -> None:
    """Give this Python thread `count` threads of Numba's pool; the first call starts the pool."""
    if _told.count == count:
        return
    if not pool._is_initialized:
        config.NUMBA_NUM_THREADS = max(config.NUMBA_NUM_THREADS, count)
        if "OMP_WAIT_POLICY" not in os.environ:
            os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    size: int = config.NUMBA_NUM_THREADS
    limit_threads(size, "the pool was started with so many, by the first kernel on several threads")
    if count > size:
        raise DeviceError(f"{count} threads asked for, but Numba's pool was started with {size}")
    try:
        numba.set_num_threads(count)
    except ValueError as error:  # NUMBA_THREADING_LAYER names one that is not installed
        raise DeviceError(f"no threads for kernels: {error}") from error
    _told.count = count


def _on_all_threads(count: int, run: Callable[[], None], run_here: Callable[[], None]) -> None:
    """Run on this many threads; here while another Python thread has the pool."""
    if not _in_use.acquire(blocking=False):
        return run_here()
    try:
        _open_pool(count)
        run()
    finally:
        _in_use.release()


def _after_fork() -> None:
    global _in_use
    _in_use = threading.Lock()  # a thread that the child does not have may hold the parent's
    if pool._is_initialized and pool.threading_layer() == "omp":
        limit_threads(1, "the parent of this process ran OpenMP threads, which do not survive fork")


os.register_at_fork(after_in_child=_after_fork)
