"""What the words of kernels mean: the instructions that the compiler writes for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.datamodel import models
from numba.cuda.models import register_model
from numba.cuda.typing.templates import AttributeTemplate, signature

from . import words
from .arrays import Array, Block, address
from .numbers import (
    I1,
    I32,
    Decorator,
    boolean,
    common,
    declarations,
    float32,
    implementations,
    int32,
    intrinsic,
    kind,
    lower_getattr,
    natural,
    rule,
)  # fmt: skip

Type = Any
Value = Any

F32, I64, NOTHING = ir.FloatType(), ir.IntType(64), ir.VoidType()
ALL_LANES = 0xFFFFFFFF


def call(builder: Any, name: str, result: Any, *args: Value) -> Value:
    """Call a function of NVVM."""
    type_of = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, type_of, name), args)


def asm(builder: Any, text: str, result: Any, constraints: str, *args: Value) -> Value:
    """A line of PTX; it is kept, and stays where it is among loads and stores, without a result
    of its own: `constraints` has "~{memory}" then."""
    type_of = ir.FunctionType(result, [arg.type for arg in args])
    effects = "~{memory}" in constraints
    return builder.call(ir.InlineAsm(type_of, text, constraints, side_effect=effects), args)


# --- where a thread is --------------------------------------------------------------------------


lower_constant: Decorator = implementations.lower_constant


class AxesType(types.Type):  # type: ignore[misc]
    """The type of threadIdx, blockIdx, blockDim and gridDim."""

    def __init__(self, register: str) -> None:
        self.register = register
        super().__init__(f"%{register}")


register_model(AxesType)(models.OpaqueModel)


@declarations.register_attr
class AxesAttributes(AttributeTemplate):  # type: ignore[misc]
    """.x, .y and .z"""

    key = AxesType

    def generic_resolve(self, found: AxesType, name: str) -> Type:
        return natural if name in ("x", "y", "z") else None


@lower_getattr(AxesType, None)
def _axis(context: Any, builder: Any, found: AxesType, value: Value, name: str) -> Value:
    return register(builder, f"{found.register}.{name}")


def register(builder: Any, name: str) -> Value:
    """Read one of the processor's special registers."""
    return call(builder, f"llvm.nvvm.read.ptx.sreg.{name}", I32)


@lower_constant(AxesType)
def _axes_constant(context: Any, builder: Any, found: AxesType, value: Any) -> Value:
    return context.get_dummy_value()


for _axes in (words.threadIdx, words.blockIdx, words.blockDim, words.gridDim):
    declarations.register_global(_axes, AxesType(_axes.register))


@rule(words.grid)
def _grid() -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        block, threads, thread = (register(builder, f"{n}.x") for n in ("ctaid", "ntid", "tid"))
        first = builder.mul(block, threads, flags=["nsw", "nuw"])
        return builder.add(first, thread, flags=["nsw", "nuw"])

    return signature(natural), write


@rule(words.gridsize)
def _gridsize() -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        blocks, threads = register(builder, "nctaid.x"), register(builder, "ntid.x")
        return builder.mul(blocks, threads, flags=["nsw", "nuw"])

    return signature(natural), write


# --- threads together ---------------------------------------------------------------------------


@rule(words.syncthreads)
def _syncthreads() -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        call(builder, "llvm.nvvm.barrier0", NOTHING)
        return context.get_dummy_value()

    return signature(types.none), write


@rule(words.syncwarp)
def _syncwarp() -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        call(builder, "llvm.nvvm.bar.warp.sync", NOTHING, I32(ALL_LANES))
        return context.get_dummy_value()

    return signature(types.none), write


def _shuffle(word: Any, mode: str, clamp: int) -> None:
    @rule(word)
    def tell(value: Type, lane: Type) -> Any:
        found = types.unliteral(value) if kind(value) is None else kind(value)
        if found not in (float32, int32, natural, types.uint32) or kind(lane) is None:
            return None

        def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            is_float = found == float32
            given, type_of = args[0], F32 if is_float else I32
            name = f"llvm.nvvm.shfl.sync.{mode}.{'f32' if is_float else 'i32'}"
            return call(builder, name, type_of, I32(ALL_LANES), given, args[1], I32(clamp))

        return signature(found, found, int32), write


_shuffle(words.shuffle_xor, "bfly", 31)
_shuffle(words.shuffle_down, "down", 31)
_shuffle(words.shuffle_up, "up", 0)
_shuffle(words.shuffle, "idx", 31)


@rule(words.ballot)
def _ballot(condition: Type) -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        flag = builder.trunc(args[0], I1) if args[0].type != I1 else args[0]
        return call(builder, "llvm.nvvm.vote.ballot.sync", I32, I32(ALL_LANES), flag)

    return signature(types.uint32, boolean), write


def _atomic(word: Any, kinds: tuple[Type, ...], write: Callable[..., Value]) -> None:
    @rule(word)
    def tell(array: Type, index: Type, value: Type) -> Any:
        if not isinstance(array, Array | Block) or array.dtype not in kinds:
            return None

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            place = address(context, builder, array, args[0], index, args[1])
            return write(builder, place, args[2], array.dtype)

        return signature(array.dtype, array, index, array.dtype), emit


def _atomic_add(builder: Any, place: Value, value: Value, dtype: Type) -> Value:
    if dtype == int32:
        return builder.atomic_rmw("add", place, value, "monotonic")
    bits = dtype.bitwidth
    name = f"llvm.nvvm.atomic.load.add.f{bits}.p{place.type.addrspace}f{bits}"
    return call(builder, name, value.type, place, value)


_atomic(words.atomic_add, (float32, int32, types.float64), _atomic_add)
_atomic(words.atomic_max, (int32,), lambda b, p, v, _: b.atomic_rmw("max", p, v, "monotonic"))
_atomic(words.atomic_min, (int32,), lambda b, p, v, _: b.atomic_rmw("min", p, v, "monotonic"))


# --- numbers ------------------------------------------------------------------------------------


@rule(words.fma)
def _fma(*args: Type) -> Any:
    if common(args) != float32:
        return None

    def write(context: Any, builder: Any, sig: Any, given: Any) -> Value:
        return intrinsic(builder, "llvm.nvvm.fma.rn.f", *given)

    return signature(float32, float32, float32, float32), write


@rule(words.bits)
def _bits(x: Type) -> Any:
    if kind(x) is None:
        return None
    to, of = (int32, float32) if x == float32 else (float32, int32)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        return builder.bitcast(args[0], I32 if to == int32 else F32)

    return signature(to, of), write


# --- NumPy's functions of a number, as solvers' rules have them ----------------------------------


def _of_one(word: Any, write: Callable[[Any, Value], Value]) -> None:
    @rule(word, of=[(float32,)])
    def tell(x: Type) -> Any:
        if kind(x) is None:
            return None
        return signature(float32, float32), lambda c, builder, sig, args: write(builder, args[0])


def _sign(builder: Any, x: Value) -> Value:
    zero, one = F32(0.0), F32(1.0)
    low = builder.select(builder.fcmp_ordered("<", x, zero), F32(-1.0), x)  # NaN and 0 stay
    return builder.select(builder.fcmp_ordered(">", x, zero), one, low)


_of_one(np.sign, _sign)
_of_one(np.sqrt, lambda builder, x: intrinsic(builder, "llvm.nvvm.sqrt.rn.f", x))
_of_one(np.absolute, lambda builder, x: intrinsic(builder, "llvm.nvvm.fabs.f", x))
_of_one(np.square, lambda builder, x: builder.fmul(x, x))


def _of_two(word: Any, sign: str) -> None:
    @rule(word, of=[(float32, float32)])
    def tell(a: Type, b: Type) -> Any:
        if common((a, b)) is None:
            return None

        def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            x, y = args
            wins = builder.fcmp_unordered(sign, x, y)  # x, where one is NaN ...
            best = builder.select(wins, x, y)
            return builder.select(builder.fcmp_unordered("uno", y, y), y, best)  # ... unless y is

        return signature(float32, float32, float32), write


_of_two(np.maximum, ">")
_of_two(np.minimum, "<")


@rule(np.where)
def _where(condition: Type, a: Type, b: Type) -> Any:
    both = common((a, b))
    if both is None or types.unliteral(condition) != boolean:
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        flag = builder.trunc(args[0], I1) if args[0].type != I1 else args[0]
        return builder.select(flag, args[1], args[2])

    return signature(both, boolean, both, both), write
