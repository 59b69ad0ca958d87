"""Arrays in kernels: an address and int32 extents; contiguous, so that the place of an element is

    x[n, c, h, w] = address + 4 * (((n C + c) H + h) W + w)

in arithmetic of 32 bits, with one widening at its end. Arrays of the device come as arguments:
8 bytes, and 4 an axis. Those of a block (`shared`) and of a thread (`local`) have a constant shape,
and those of a block addresses of 32 bits.
"""

import math
import operator
from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.cudadrv import nvvm
from numba.cuda.datamodel import models
from numba.cuda.models import register_model
from numba.cuda.typing.templates import AttributeTemplate, signature

from . import words
from .numbers import I32, declarations, int32, lower_getattr, natural, rule

Type = Any
Value = Any

I64 = ir.IntType(64)
ALIGNMENT = 16  # bytes, of an array's begin; of arguments too (`memory.allocate`)


class Array(types.Type):  # type: ignore[misc]
    """An array of the device: elements of one type along some axes."""

    def __init__(self, dtype: Type, ndim: int) -> None:
        self.dtype, self.ndim = dtype, ndim
        super().__init__(f"{dtype}[{', '.join(':' * ndim)}]")


class Block(types.Type):  # type: ignore[misc]
    """An array of constant shape: of a block of threads (`is_shared`) or of one thread."""

    def __init__(self, dtype: Type, shape: tuple[int, ...], is_shared: bool) -> None:
        self.dtype, self.extents, self.is_shared = dtype, shape, is_shared
        self.ndim = len(shape)
        what = "shared" if is_shared else "local"
        super().__init__(f"{what} {dtype}[{', '.join(map(str, shape))}]")


@register_model(Array)
class ArrayModel(models.StructModel):  # type: ignore[misc]
    """Address and extents: as parameters of the kernel, one after the other."""

    def __init__(self, manager: Any, found: Array) -> None:
        shape = types.UniTuple(natural, found.ndim)
        super().__init__(manager, found, [("data", types.CPointer(found.dtype)), ("shape", shape)])


@register_model(Block)
class BlockModel(models.PrimitiveModel):  # type: ignore[misc]
    """The address; shared ones have an address space of their own."""

    def __init__(self, manager: Any, found: Block) -> None:
        space = nvvm.ADDRSPACE_SHARED if found.is_shared else nvvm.ADDRSPACE_GENERIC
        element = manager.lookup(found.dtype).get_data_type()
        super().__init__(manager, found, element.as_pointer(space))


# --- shape and size -----------------------------------------------------------------------------


@declarations.register_attr
class ArrayAttributes(AttributeTemplate):  # type: ignore[misc]
    """x.shape, x.size, x.ndim of an array of the device."""

    key = Array

    def resolve_shape(self, found: Array) -> Type:
        return types.UniTuple(natural, found.ndim)

    def resolve_size(self, found: Array) -> Type:
        return natural

    def resolve_ndim(self, found: Array) -> Type:
        return types.literal(found.ndim)


@declarations.register_attr
class BlockAttributes(AttributeTemplate):  # type: ignore[misc]
    """The same of an array of constant shape: constants."""

    key = Block

    def resolve_shape(self, found: Block) -> Type:
        return types.Tuple([types.literal(extent) for extent in found.extents])

    def resolve_size(self, found: Block) -> Type:
        return types.literal(math.prod(found.extents))


@lower_getattr(Array, "shape")
def _shape(context: Any, builder: Any, found: Array, value: Value) -> Value:
    return cgutils.create_struct_proxy(found)(context, builder, value=value).shape


@lower_getattr(Array, "size")
def _size(context: Any, builder: Any, found: Array, value: Value) -> Value:
    shape = _extents(context, builder, found, value)
    size = shape[0] if shape else I32(1)
    for extent in shape[1:]:
        size = builder.mul(size, extent, flags=["nsw", "nuw"])
    return size


@lower_getattr(Array, "ndim")
def _ndim(context: Any, builder: Any, found: Array, value: Value) -> Value:
    return I64(found.ndim)


@lower_getattr(Block, "shape")
def _block_shape(context: Any, builder: Any, found: Block, value: Value) -> Value:
    return context.get_dummy_value()


@lower_getattr(Block, "size")
def _block_size(context: Any, builder: Any, found: Block, value: Value) -> Value:
    return I32(math.prod(found.extents))


def _extents(context: Any, builder: Any, found: Type, value: Value) -> list[Value]:
    if isinstance(found, Block):
        return [I32(extent) for extent in found.extents]
    made = cgutils.create_struct_proxy(found)(context, builder, value=value)
    extents: list[Value] = cgutils.unpack_tuple(builder, made.shape, found.ndim)
    return extents


# --- elements -----------------------------------------------------------------------------------


def _indices(found: Type) -> tuple[Type, ...] | None:
    """The types of some indices; None where one is no integer."""
    each = tuple(found) if isinstance(found, types.BaseTuple) else (found,)
    return each if all(isinstance(one, types.Integer) for one in each) else None


def address(
    context: Any, builder: Any, array: Type, value: Value, index: Type, given: Value
) -> Value:
    """A pointer to the element (or the first of the part) that an index names."""
    kinds = _indices(index)
    assert kinds is not None
    is_tuple = isinstance(index, types.BaseTuple)
    numbers = cgutils.unpack_tuple(builder, given, len(kinds)) if is_tuple else [given]
    shape = _extents(context, builder, array, value)
    place = I32(0)
    for axis, extent in enumerate(shape):
        if axis:
            place = builder.mul(place, extent, flags=["nsw"])
        if axis < len(numbers):
            number = context.cast(builder, numbers[axis], kinds[axis], int32)
            place = builder.add(place, number, flags=["nsw"]) if axis else number
    if isinstance(array, Block):
        begin, wide = value, place if array.is_shared else builder.sext(place, I64)
    else:
        begin = cgutils.create_struct_proxy(array)(context, builder, value=value).data
        wide = builder.sext(place, I64)
    return builder.gep(begin, [wide], inbounds=True)


@rule(operator.getitem, of=[(Array, types.Any), (Block, types.Any)])
def _get(array: Type, index: Type) -> Any:
    if not isinstance(array, Array | Block) or _indices(index) is None:
        return None
    count = len(_indices(index) or ())
    if count > array.ndim:
        return None
    if count < array.ndim:
        return _part(array, index, count)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        return builder.load(address(context, builder, array, args[0], index, args[1]))

    return signature(array.dtype, array, index), write


def _part(array: Type, index: Type, count: int) -> Any:
    """x[n]: the array of the other axes."""
    if isinstance(array, Block):
        result: Type = Block(array.dtype, array.extents[count:], array.is_shared)
    else:
        result = Array(array.dtype, array.ndim - count)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        begin = address(context, builder, array, args[0], index, args[1])
        if isinstance(result, Block):
            return begin
        made = cgutils.create_struct_proxy(result)(context, builder)
        made.data = begin
        extents = _extents(context, builder, array, args[0])[count:]
        made.shape = cgutils.pack_array(builder, extents)
        return made._getvalue()

    return signature(result, array, index), write


@rule(operator.setitem, of=[(Array, types.Any, types.Any), (Block, types.Any, types.Any)])
def _set(array: Type, index: Type, value: Type) -> Any:
    if not isinstance(array, Array | Block) or len(_indices(index) or ()) != array.ndim:
        return None

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        builder.store(args[2], address(context, builder, array, args[0], index, args[1]))
        return context.get_dummy_value()

    return signature(types.none, array, index, array.dtype), write


# --- arrays of a block and of a thread ----------------------------------------------------------


def _constant_shape(found: Type) -> tuple[int, ...] | None:
    each = tuple(found) if isinstance(found, types.BaseTuple) else (found,)
    if all(isinstance(one, types.IntegerLiteral) for one in each):
        return tuple(one.literal_value for one in each)
    return None


def _element(dtype: tuple[Type, ...]) -> Type:
    if not dtype:
        return types.float32
    python: dict[Any, Type] = {int: int32, float: types.float32, bool: types.boolean}
    found = python.get(getattr(dtype[0], "typing_key", None))
    return found or dtype[0].dtype


@rule(words.shared)
def _shared(shape: Type, *dtype: Type) -> Any:
    extents = _constant_shape(shape)
    if extents is None:
        return None
    made = Block(_element(dtype), extents, True)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        element = context.get_data_type(made.dtype)
        count = ir.ArrayType(element, math.prod(extents))
        name = f"shared_{len(builder.module.globals)}"
        memory = cgutils.add_global_variable(
            builder.module, count, name, addrspace=nvvm.ADDRSPACE_SHARED
        )
        memory.align = ALIGNMENT
        memory.linkage = "internal"
        memory.initializer = ir.Constant(count, ir.Undefined)
        return builder.bitcast(memory, element.as_pointer(nvvm.ADDRSPACE_SHARED))

    return signature(made, shape, *dtype), write


@rule(words.dynamic_shared)
def _dynamic_shared(*dtype: Type) -> Any:
    made = Block(_element(dtype), (0,), True)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        element = context.get_data_type(made.dtype)
        memory = builder.module.globals.get("dynamic_shared")
        if memory is None:
            bytes_of = ir.ArrayType(ir.IntType(8), 0)
            memory = cgutils.add_global_variable(
                builder.module, bytes_of, "dynamic_shared", addrspace=nvvm.ADDRSPACE_SHARED
            )
            memory.align = ALIGNMENT
            memory.linkage = "external"
        return builder.bitcast(memory, element.as_pointer(nvvm.ADDRSPACE_SHARED))

    return signature(made, *dtype), write


@rule(words.local)
def _local(shape: Type, *dtype: Type) -> Any:
    extents = _constant_shape(shape)
    if extents is None:
        return None
    made = Block(_element(dtype), extents, False)

    def write(context: Any, builder: Any, sig: Any, args: Any) -> Value:
        element = context.get_data_type(made.dtype)
        memory = cgutils.alloca_once(builder, ir.ArrayType(element, math.prod(extents)))
        memory.align = ALIGNMENT
        return builder.bitcast(memory, element.as_pointer())

    return signature(made, shape, *dtype), write
