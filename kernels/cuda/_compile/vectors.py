"""Words for 128 bits at a time, copies in the background and tensor cores."""

from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.typing.templates import signature

from . import words
from .arrays import Array, Block, address
from .meanings import F32, NOTHING, asm
from .numbers import I32, float32, int32, rule

Type = Any
Value = Any

FOUR = ir.VectorType(F32, 4)
FLOATS = types.UniTuple(float32, 4)


def _is_flat(array: Type) -> bool:
    return isinstance(array, Array | Block) and array.ndim == 1 and array.dtype == float32


def _four(builder: Any, place: Value) -> Value:
    return builder.bitcast(place, FOUR.as_pointer(place.type.addrspace))


@rule(words.load4)
def _load4(array: Type, index: Type) -> Any:
    if not _is_flat(array):
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        place = address(context, builder, array, args[0], int32, args[1])
        values = builder.load(_four(builder, place), align=16)
        each = [builder.extract_element(values, I32(k)) for k in range(4)]
        return context.make_tuple(builder, FLOATS, each)

    return signature(FLOATS, array, int32), write


@rule(words.store4)
def _store4(array: Type, index: Type, values: Type) -> Any:
    if not _is_flat(array) or not isinstance(values, types.BaseTuple) or len(values) != 4:
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        place = address(context, builder, array, args[0], int32, args[1])
        made = ir.Constant(FOUR, ir.Undefined)
        for k in range(4):
            value = builder.extract_value(args[2], k)
            made = builder.insert_element(made, value, I32(k))
        builder.store(made, _four(builder, place), align=16)
        return context.get_dummy_value()

    return signature(types.none, array, int32, FLOATS), write


def _copy(word: Any, how: str, size: int) -> None:
    @rule(word)
    def tell(target: Type, at: Type, source: Type, index: Type) -> Any:
        if not (isinstance(target, Block) and target.is_shared and isinstance(source, Array)):
            return None
        if not _is_flat(target) or not _is_flat(source):
            return None

        def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            to = address(context, builder, target, args[0], int32, args[1])
            of = address(context, builder, source, args[2], int32, args[3])
            text = f"cp.async.{how}.shared.global [$0], [$1], {size};"
            asm(builder, text, NOTHING, "r,l,~{memory}", builder.ptrtoint(to, I32), of)
            return context.get_dummy_value()

        return signature(types.none, target, int32, source, int32), write


_copy(words.copy_async4, "cg", 16)
_copy(words.copy_async, "ca", 4)


@rule(words.copies_commit)
def _commit() -> Any:
    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        asm(builder, "cp.async.commit_group;", NOTHING, "~{memory}")
        return context.get_dummy_value()

    return signature(types.none), write


@rule(words.copies_wait)
def _wait(pending: Type) -> Any:
    if not isinstance(pending, types.IntegerLiteral):
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        asm(builder, f"cp.async.wait_group {pending.literal_value};", NOTHING, "~{memory}")
        return context.get_dummy_value()

    return signature(types.none, pending), write


@rule(words.tf32)
def _tf32(x: Type) -> Any:
    if x != float32:
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        return asm(builder, "cvt.rna.tf32.f32 $0, $1;", I32, "=r,f", args[0])

    return signature(types.uint32, float32), write


@rule(words.mma_tf32)
def _mma(a: Type, b: Type, c: Type) -> Any:
    bits = types.uint32
    if not all(isinstance(each, types.BaseTuple) for each in (a, b, c)):
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        values = [
            builder.extract_value(group, k)
            for group, count in zip(args, (4, 2, 4), strict=True)
            for k in range(count)
        ]
        text = (
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
            " {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
        )
        result = ir.LiteralStructType([F32] * 4)
        made = asm(builder, text, result, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", *values)
        each = [builder.extract_value(made, k) for k in range(4)]
        return context.make_tuple(builder, FLOATS, each)

    return signature(FLOATS, types.UniTuple(bits, 4), types.UniTuple(bits, 2), FLOATS), write


assert cgutils  # the models of tuples
