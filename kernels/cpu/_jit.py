"""How the loops of this folder become machine code: the decorators `kernel` and `inner`.

`@kernel` makes two versions of one body, the *twins*: the serial one, where `prange` is `range`,
and the parallel one. Which of them runs is decided at every call by `num_threads()`. The serial
twin is not a luxury: a parallel loop costs 1 to 40 microseconds to start, and a process that uses
one thread (a Spark executor with one core a task) then never starts a thread pool at all.
`@inner` and `@inlined` are for functions that kernels call inside their loops; compiled code can
call these, and cannot call a kernel.

Compilation happens at the first call with new argument types, and is kept on disk (`_cache.py`).
Three of Numba's habits decide the details here:

* Code is compiled with the arithmetic of float32 as it is written, except for what `FASTMATH`
  allows: contraction to fused multiply-add, reassociation (so that sums become vector sums), and
  no care for the sign of zero. NaN and infinity keep their meaning: never `nnan`, never `ninf`.
  `strict=True` takes the liberties back, for code that depends on the order of its operations
  (compensated sums, the range reduction of an exponential). Division by zero gives inf or NaN,
  as in NumPy, instead of an exception.
* Threading layers. OpenMP starts a loop in 1 microsecond, TBB in 1 to 25, Numba's own `workqueue`
  in 40, so OpenMP is asked for first; the user's NUMBA_THREADING_LAYER wins.
* Pools. Two Python threads that run parallel loops at once would have a pool each under OpenMP,
  and kill the process under `workqueue`: so one of them gets the pool, and what another one calls
  in the meantime runs as the serial twin.
* Fork. GNU OpenMP kills a forked child that uses it after its parent did. In such a child
  `num_threads()` is therefore 1, and the serial twins, which need no OpenMP, do the work.

With NUMBA_DISABLE_JIT=1 all bodies run as plain Python, so that a debugger can step into them.
"""

import os
import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, overload

import numba
import numpy as np
from numba.np.ufunc import parallel

from minicaffe.errors import DeviceError
from minicaffe.threads import limit_threads
from minicaffe.threads import num_threads as num_threads

from ._cache import KernelCache, code_stamp

FASTMATH = {"contract", "reassoc", "nsz", "arcp"}

config: Any = numba.config
pool: Any = parallel
# Only `prange` is parallel: whole-array expressions are small here, and costly to compile so.
PRANGE_ONLY = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
) | {"prange": True}
DISABLED = bool(config.DISABLE_JIT)

P = ParamSpec("P")
R = TypeVar("R")

if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


@overload
def kernel(body: Callable[P, R]) -> "Kernel[P, R]": ...
@overload
def kernel(*, strict: bool) -> Callable[[Callable[P, R]], "Kernel[P, R]"]: ...
def kernel(body: Callable[P, R] | None = None, *, strict: bool = False) -> Any:
    """Compile a loop over arrays for one thread and for many; `prange` marks the shared loop.

    The body takes arrays and scalars, writes into its arrays, and has at least one `prange`.
    Every iteration of the `prange` writes its own elements; results must not depend on the number
    of threads, so sums are taken inside an iteration, not across them.
    """
    return Kernel(body, strict) if body else lambda body: Kernel(body, strict)


@overload
def inner(body: Callable[P, R]) -> Callable[P, R]: ...
@overload
def inner(*, strict: bool) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def inner(body: Callable[P, R] | None = None, *, strict: bool = False) -> Any:
    """Compile a function that kernels call inside their loops, and nobody else."""
    options = {"strict": strict, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _compiled(body, **options) if body else lambda body: _compiled(body, **options)


def inlined(body: Callable[P, R]) -> Callable[P, R]:
    """Like `inner`, but pasted into its caller: a part of it that has a name, quick to compile."""
    made: Callable[P, R] = _compiled(body, inline="always")
    return made


class Kernel(Generic[P, R]):
    """A loop with its two compiled twins; call it like the function it was made of."""

    def __init__(self, body: Callable[P, R], strict: bool) -> None:
        self.body = body
        self.strict = strict
        update_wrapper(self, body)
        known.append(self)

    @cached_property
    def serial(self) -> Any:
        """The twin for one thread."""
        return _compiled(self.body, self.strict)

    @cached_property
    def parallel(self) -> Any:
        """The twin whose `prange` is shared among threads."""
        return _compiled(self.body, self.strict, parallel=dict(PRANGE_ONLY))

    def compile_parallel(self) -> None:
        """Compile the parallel twin for all that the serial one was called with; run nothing."""
        if not DISABLED and "serial" in vars(self):
            for signature in self.serial.signatures:
                self.parallel.compile(signature)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run on `num_threads()` threads; on one while another Python thread has the pool."""
        if DISABLED:
            with np.errstate(all="ignore"):
                return self.body(*args, **kwargs)
        count = num_threads()
        if count == 1 or not _in_use.acquire(blocking=False):
            return self.serial(*args, **kwargs)  # type: ignore[no-any-return]
        try:
            _open_pool(count)
            return self.parallel(*args, **kwargs)  # type: ignore[no-any-return]
        finally:
            _in_use.release()


known: list[Kernel[Any, Any]] = []  # all whose modules have been imported


def _compiled(body: Callable[P, R], strict: bool = False, **options: Any) -> Any:
    if DISABLED:
        return body
    assert isinstance(body, FunctionType)
    named = _named(body, parallel="parallel" in options)
    dispatcher: Any = numba.njit(
        named,
        nogil=True,
        error_model="numpy",
        fastmath=False if strict else FASTMATH,
        **options,
    )
    dispatcher._cache = KernelCache(named, dispatcher.targetoptions)
    return dispatcher


def _named(body: FunctionType, parallel: bool) -> FunctionType:
    """A copy whose name, and so the names of its symbols, belongs to this code alone.

    Twins share a name, and so do the functions that one factory makes; two pieces of machine code
    under one name, one fresh and one from the cache, would be taken for each other.
    """
    code = body.__code__
    copy = FunctionType(code, body.__globals__, body.__name__, body.__defaults__, body.__closure__)
    copy.__module__ = body.__module__
    copy.__qualname__ = body.__qualname__.replace("<locals>.", "")
    if body.__closure__:
        copy.__qualname__ += f"_{code_stamp(body)[:8]}"
    if parallel:
        copy.__qualname__ += "_parallel"
    return copy


# ---- the pool of threads


class _Told(threading.local):
    """What a Python thread has told Numba's pool, which keeps a count for each of them."""

    count = 0


_told = _Told()
_in_use = threading.Lock()


def _open_pool(count: int) -> None:
    """Give this Python thread `count` threads of Numba's pool; the first call starts the pool."""
    if _told.count == count:
        return
    if not pool._is_initialized:
        config.NUMBA_NUM_THREADS = max(config.NUMBA_NUM_THREADS, count)
    size: int = config.NUMBA_NUM_THREADS
    limit_threads(size, "the pool was started with so many, by the first kernel on several threads")
    if count > size:
        raise DeviceError(f"{count} threads asked for, but Numba's pool was started with {size}")
    numba.set_num_threads(count)
    _told.count = count


def _after_fork() -> None:
    global _in_use
    _in_use = threading.Lock()  # a thread that the child does not have may hold the parent's
    if pool._is_initialized and pool.threading_layer() == "omp":
        limit_threads(1, "the parent of this process ran OpenMP threads, which do not survive fork")


os.register_at_fork(after_in_child=_after_fork)
