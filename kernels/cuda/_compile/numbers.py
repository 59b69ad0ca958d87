"""Numbers in kernels: integers of 32 bits, known to be natural or not; constants of float32.

Numba computes with integers of 64 bits, of which a GPU has none (two or more instructions each, and
some hundred for a division), and with float64 where a float32 meets a constant or an integer. Here
an operation stays in 32 bits. `natural` is an int32 of which the types alone tell that it is not
negative: sums, products, quotients and remainders of naturals are naturals, a difference is not. So
`//` and `%` of naturals are one unsigned division, those of others what Python says.
"""

import operator
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.core.imputils import Registry as Implementations
from numba.cuda.datamodel import models
from numba.cuda.models import register_model
from numba.cuda.typeconv.rules import default_casting_rules
from numba.cuda.typing.templates import AbstractTemplate, Registry, signature

Type = Any
Value = Any

declarations = Registry()
implementations = Implementations("minicaffe")
Decorator = Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]
lower: Decorator = implementations.lower
lower_getattr: Decorator = implementations.lower_getattr

int32, float32, boolean = types.int32, types.float32, types.boolean
I1, I32 = ir.IntType(1), ir.IntType(32)
LIMIT = 2**31


class Natural(types.Integer):  # type: ignore[misc]
    """An int32 that is not negative."""

    def __init__(self) -> None:
        super().__init__("natural", bitwidth=32, signed=True)


register_model(Natural)(models.IntegerModel)
natural = Natural()
default_casting_rules.promote_unsafe(natural, int32)
default_casting_rules.safe_unsafe(natural, types.int64)
default_casting_rules.unsafe_unsafe(natural, float32)
default_casting_rules.safe_unsafe(natural, types.float64)
default_casting_rules.unsafe_unsafe(natural, types.uint32)


class IntegerLiteral(types.IntegerLiteral):  # type: ignore[misc]
    """A constant of a kernel: one of 32 bits, where it fits."""

    @property
    def literal_type(self) -> Any:
        value = self._literal_value
        small = natural if value >= 0 else int32
        return small if -LIMIT <= value < LIMIT else types.int64


register_model(IntegerLiteral)(models.IntegerModel)


SMALL = {types.uint8: natural, types.uint16: natural, types.int8: int32, types.int16: int32}


def kind(found: Type) -> Type:
    """natural, int32 or float32: in which of them a type is computed with; None: in none."""
    if isinstance(found, types.IntegerLiteral):
        found = found.literal_type
    found = SMALL.get(found, found)
    return found if found in (natural, int32, float32) else None


def common(args: tuple[Type, ...]) -> Type:
    """The type in which an operation of some arguments is done; None where Numba's rules hold.

    A truth value beside a number is 0 or 1.
    """
    kinds = {natural if types.unliteral(arg) == boolean else kind(arg) for arg in args}
    if None in kinds or all(types.unliteral(arg) == boolean for arg in args):
        return None
    return next(one for one in (float32, int32, natural) if one in kinds)


def rule(
    *words: Any, of: Iterable[tuple[Type, ...]] = ((types.VarArg(types.Any),),)
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what some functions are of arguments of some types.

    The decorated function takes the types, and returns None where it has nothing to say, else the
    signature and a function (context, builder, signature, args) that writes the code. For what has
    a meaning in Numba already `of` lists the types of arguments in which the code is another one.
    """

    def add(tell: Callable[..., Any]) -> Callable[..., Any]:
        class Template(AbstractTemplate):  # type: ignore[misc]
            prefer_literal = True

            def generic(self, args: Any, kws: Any) -> Any:
                found = None if kws else tell(*args)
                return found and found[0]

        def write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return tell(*sig.args)[1](context, builder, sig, args)

        for word in words:
            declarations.register_global(word)(Template)
            for args in of:
                implementations.lower(word, *args)(write)
        return tell

    return add


def _pairs(*kinds: Type) -> list[tuple[Type, Type]]:
    return [(each, each) for each in kinds]


def integers(count: int) -> list[tuple[Type, ...]]:
    """All tuples of so many types of integers."""
    return list(product((natural, int32), repeat=count))


def _constant(args: tuple[Type, ...], word: Any) -> Type:
    """The type of what an operation makes of constants, a constant; None if it cannot be one."""
    values = [arg.literal_value for arg in args if isinstance(arg, types.IntegerLiteral)]
    divides_by_zero = word in (operator.floordiv, operator.mod) and values[-1:] == [0]
    if len(values) < len(args) or divides_by_zero:
        return None
    value = word(*values)
    return types.literal(value) if -LIMIT <= value < LIMIT else None


def _binary(
    word: Any, in_place: Any, write: Callable[..., Value], keeps_sign: bool, floats: str
) -> None:
    """A word of two numbers: `write` is for integers, `floats` names LLVM's for float32."""

    @rule(word, in_place, of=_pairs(natural, int32, float32, IntegerLiteral))
    def tell(a: Type, b: Type) -> Any:
        both = common((a, b))
        if both is None or (both == float32 and not floats):
            return None
        constant = _constant((a, b), word)
        if constant:
            return signature(constant, a, b), lambda *_: I32(constant.literal_value)
        result = both if keeps_sign or both == float32 else int32

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            if both == float32:
                return getattr(builder, floats)(*args)
            return write(builder, *args, both == natural)

        return signature(result, both, both), emit


def _flags(is_natural: bool) -> list[str]:
    return ["nsw", "nuw"] if is_natural else ["nsw"]


def _floordiv(builder: Any, a: Value, b: Value, is_natural: bool) -> Value:
    if _power_of_two(b):
        return builder.ashr(a, I32(b.constant.bit_length() - 1))
    if is_natural:
        return builder.udiv(a, b)
    rest = builder.srem(a, b)
    return builder.add(builder.sdiv(a, b), builder.sext(_rounds_down(builder, rest, b), I32))


def _mod(builder: Any, a: Value, b: Value, is_natural: bool) -> Value:
    if _power_of_two(b):
        return builder.and_(a, I32(b.constant - 1))
    if is_natural:
        return builder.urem(a, b)
    rest = builder.srem(a, b)
    return builder.add(rest, builder.select(_rounds_down(builder, rest, b), b, I32(0)))


def _power_of_two(b: Value) -> bool:
    return isinstance(b, ir.Constant) and b.constant > 0 and b.constant & (b.constant - 1) == 0


def _rounds_down(builder: Any, rest: Value, divisor: Value) -> Value:
    """Whether Python's quotient is one less than the processor's, which rounds to zero."""
    differ = builder.icmp_signed("<", builder.xor(rest, divisor), I32(0))
    return builder.and_(differ, builder.icmp_signed("!=", rest, I32(0)))


def _shift_right(builder: Any, a: Value, b: Value, is_natural: bool) -> Value:
    return builder.lshr(a, b) if is_natural else builder.ashr(a, b)


for _word, _in_place, _write, _keeps_sign, _floats in (
    (operator.add, operator.iadd, lambda b, x, y, n: b.add(x, y, flags=_flags(n)), True, "fadd"),
    (operator.sub, operator.isub, lambda b, x, y, n: b.sub(x, y, flags=["nsw"]), False, "fsub"),
    (operator.mul, operator.imul, lambda b, x, y, n: b.mul(x, y, flags=_flags(n)), True, "fmul"),
    (operator.floordiv, operator.ifloordiv, _floordiv, True, ""),
    (operator.mod, operator.imod, _mod, True, ""),
    (operator.and_, operator.iand, lambda b, x, y, n: b.and_(x, y), True, ""),
    (operator.or_, operator.ior, lambda b, x, y, n: b.or_(x, y), True, ""),
    (operator.xor, operator.ixor, lambda b, x, y, n: b.xor(x, y), True, ""),
    (operator.lshift, operator.ilshift, lambda b, x, y, n: b.shl(x, y), False, ""),
    (operator.rshift, operator.irshift, _shift_right, True, ""),
):
    _binary(_word, _in_place, _write, _keeps_sign, _floats)


@rule(operator.truediv, operator.itruediv, of=_pairs(float32))
def _divide(a: Type, b: Type) -> Any:
    if common((a, b)) is None:
        return None
    return signature(float32, float32, float32), lambda c, builder, sig, args: builder.fdiv(*args)


@rule(operator.neg, of=[(int32,), (IntegerLiteral,)])
def _negative(a: Type) -> Any:
    if kind(a) not in (natural, int32):
        return None
    constant = _constant((a,), operator.neg)
    if constant:
        return signature(constant, a), lambda *_: I32(constant.literal_value)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        return builder.neg(args[0])

    return signature(int32, int32), write


def _comparison(word: Any, sign: str) -> None:
    @rule(word, of=_pairs(natural, int32, float32))
    def tell(a: Type, b: Type) -> Any:
        both = common((a, b))
        if both is None:
            return None
        of_floats = both == float32

        def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
            if of_floats:
                compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
                return compare(sign, *args)
            return builder.icmp_signed(sign, *args)

        return signature(boolean, both, both), write


for _word, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"),
    (operator.ge, ">="), (operator.eq, "=="), (operator.ne, "!="),
):  # fmt: skip
    _comparison(_word, _sign)


def _extreme(word: Any, sign: str) -> None:
    @rule(word, of=[args for n in (2, 3, 4) for args in (*integers(n), (float32,) * n)])
    def tell(*args: Type) -> Any:
        both = common(args)
        if both is None or not 2 <= len(args) <= 4:
            return None
        kinds = [float32] * len(args) if both == float32 else list(map(kind, args))
        if both == int32 and word is max and natural in kinds:
            both = natural  # the larger of a natural and something

        def write(context: Any, builder: Any, sig: Any, given: Any) -> Value:
            compare = builder.fcmp_ordered if both == float32 else builder.icmp_signed
            best = given[0]
            for other in given[1:]:  # Python's: another one has to be larger; NaN is not
                best = builder.select(compare(sign, other, best), other, best)
            return best

        return signature(both, *kinds), write


_extreme(max, ">")
_extreme(min, "<")


def intrinsic(builder: Any, name: str, *args: Value) -> Value:
    """Call a function of the compiler that takes and gives values of one type."""
    type_of = ir.FunctionType(args[0].type, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, type_of, name), args)


@rule(abs, of=[(int32,)])
def _absolute(a: Type) -> Any:
    if kind(a) not in (natural, int32):
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        negative = builder.icmp_signed("<", args[0], I32(0))
        return builder.select(negative, builder.neg(args[0]), args[0])

    return signature(natural, int32), write
