"""From a Python function to PTX: Numba's CUDA compiler with the words and numbers of this folder.

The compiler is numba-cuda, with NVIDIA's NVVM; neither GPU nor driver is asked. Where numba-cuda
would ask the driver which device there is, or NVRTC which ones it knows, the answer is here: NVRTC
compiles C++, of which kernels have none. While a kernel is compiled the compiler's contexts are
those of this file; kernels that somebody else has in the same process are left alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from numba import cuda
from numba.core.compiler_lock import global_compiler_lock
from numba.cuda import compiler, cuda_paths, descriptor, dispatcher, types
from numba.cuda.cudadrv import nvrtc
from numba.cuda.target import CUDATargetContext, CUDATypingContext

from . import arrays, meanings, ranges, vectors  # noqa: F401 (they tell the compiler what words mean)
from .numbers import IntegerLiteral, common, declarations, float32, implementations, int32, natural
from .words import Axes

KNOWN = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))


class Typing(CUDATypingContext):  # type: ignore[misc]
    """Numba's rules for types, after those of this folder."""

    def load_additional_registries(self) -> None:
        self.install_registry(declarations)
        super().load_additional_registries()

    def resolve_value_type(self, value: Any) -> Any:
        if type(value) is float:
            return float32
        if isinstance(value, Axes):
            return self._lookup_global(value)
        return super().resolve_value_type(getattr(value, "device_function", value))

    def unify_pairs(self, first: Any, second: Any) -> Any:
        if first == second:
            return first
        both = common((first, second))
        plain = (int32 if each == natural else each for each in (first, second))
        return both or super().unify_pairs(*plain)


class Writing(CUDATargetContext):  # type: ignore[misc]
    """Numba's ways to write code, and those of this folder."""

    def load_additional_registries(self) -> None:
        super().load_additional_registries()
        self.install_registry(implementations)


@cache
def _target() -> tuple[Any, Any]:
    typing = Typing()
    return typing, Writing(typing)


@contextmanager
def _ours(cc: tuple[int, int]) -> Iterator[None]:
    """The compiler as kernels of minicaffe want it."""
    target, literals = descriptor.cuda_target, types.Literal.ctor_map
    asked = SimpleNamespace(compute_capability=cc)
    changes = (
        (dispatcher, "get_current_device", lambda: asked),
        (compiler, "get_current_device", lambda: asked),
        (nvrtc, "get_supported_ccs", lambda: KNOWN),
        (cuda_paths, "_get_nvrtc_path", lambda: cuda_paths._env_path_tuple("none", None)),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    contexts = target._typingctx, target._targetctx
    for owner, name, value in changes:
        setattr(owner, name, value)
    target._typingctx, target._targetctx = _target()
    literal, literals[int] = literals[int], IntegerLiteral
    try:
        yield
    finally:
        literals[int] = literal
        target._typingctx, target._targetctx = contexts
        for owner, name, value in before:
            setattr(owner, name, value)


def compile_kernel(
    body: Callable[..., None], args: tuple[Any, ...], cc: tuple[int, int], **options: Any
) -> str:
    """The PTX of a kernel for arguments of some types."""
    with global_compiler_lock, _ours(cc):
        text, _ = cuda.compile(
            body, types.void(*args), device=False, abi="numba", cc=cc, output="ptx", **options
        )
    return str(text)
