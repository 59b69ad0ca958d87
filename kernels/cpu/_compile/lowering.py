"""What our kernels' machine code has that Numba's own has not: zero for denormals, rows that exist.

* Denormals. Numbers nearer to 0 than 1.2e-38 take some processors a hundred times as long as
  others. While a part of a kernel runs, its thread takes them for 0 and gives 0 for them: x86 has
  two bits for it in MXCSR, ARM one in FPCR, which are set where the part begins and are as before
  wherever it ends. NumPy, and whatever else runs between two kernels, has its denormals.
* Rows. `x[i]` of an array with two dimensions is a row of it, and a loop over `x.size` elements,
  meant for one dimension, would go from row to row far beyond its end. So an index that leaves
  whole rows is looked at; it costs a comparison a row. An index of one element is looked at with
  `-check` alone.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering
from numba.np.arrayobj import fix_integer_index, make_array

from ..._failure import NO_ROW

FLUSH_X86 = 0x8040  # results (bit 15) and operands (bit 6)
FLUSH_ARM = 1 << 24  # both

WORD, LONG = ir.IntType(32), ir.IntType(64)
ADDRESS = ir.IntType(8).as_pointer()


# ---- denormals


def flush_denormals(function: Any) -> None:
    """Let a whole function of LLVM's take denormals for 0, and its caller have them as before.

    On processors other than x86 and ARM of 64 bits it stays as it is.
    """
    triple = function.module.triple
    emit = next((emit for name, emit in FLUSHES.items() if triple.startswith(name)), None)
    if emit is None:
        return
    returns = [block for block in function.blocks if isinstance(block.terminator, ir.Ret)]
    builder = ir.IRBuilder()
    builder.position_before(function.entry_basic_block.terminator)
    restore = emit(builder)
    for block in returns:
        builder.position_before(block.terminator)
        restore(builder)


def _flush_x86(builder: Any) -> Any:
    load, store = (
        _declared(builder, f"llvm.x86.sse.{name}", ir.VoidType(), ADDRESS)
        for name in ("ldmxcsr", "stmxcsr")
    )
    before, within = (builder.alloca(WORD) for _ in range(2))
    builder.call(store, [builder.bitcast(before, ADDRESS)])
    builder.store(builder.or_(builder.load(before), WORD(FLUSH_X86)), within)
    builder.call(load, [builder.bitcast(within, ADDRESS)])
    return lambda builder: builder.call(load, [builder.bitcast(before, ADDRESS)])


def _flush_arm(builder: Any) -> Any:
    get = _declared(builder, "llvm.aarch64.get.fpcr", LONG)
    put = _declared(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), LONG)
    before = builder.call(get, [])
    builder.call(put, [builder.or_(before, LONG(FLUSH_ARM))])
    return lambda builder: builder.call(put, [before])


def _declared(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(builder.module, kind, name)


FLUSHES = {"x86_64": _flush_x86, "i686": _flush_x86, "aarch64": _flush_arm, "arm64": _flush_arm}


# ---- rows


class InnerLower(Lower):  # type: ignore[misc]
    """Numba's way from typed code to LLVM's, which looks at rows besides."""

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        """The element, the row or the slice of an array, or an item of something else."""
        self._look_at_row(value, index)
        return super().lower_getitem(resty, expr, value, index, signature)

    def lower_setitem(self, target: Any, index: Any, value: Any, signature: Any) -> Any:
        """Store an element, a row or a slice."""
        self._look_at_row(target, index)
        return super().lower_setitem(target, index, value, signature)

    def _look_at_row(self, array: Any, index: Any) -> None:
        """IndexError, at this line, if an index that leaves dimensions over is out of its own."""
        kind, indices = self.typeof(array.name), self.typeof(index.name)
        kinds = indices.types if isinstance(indices, types.BaseTuple) else (indices,)
        if not isinstance(kind, types.Array) or len(kinds) >= kind.ndim:
            return
        if not all(isinstance(one, types.Integer) for one in kinds):
            return
        values = self.loadvar(index.name)
        unpacked = (
            cgutils.unpack_tuple(self.builder, values, len(kinds))
            if isinstance(indices, types.BaseTuple)
            else (values,)
        )
        found = make_array(kind)(self.context, self.builder, self.loadvar(array.name))
        shape = cgutils.unpack_tuple(self.builder, found.shape, kind.ndim)
        for one, number, size in zip(kinds, unpacked, shape, strict=False):
            place = fix_integer_index(self.context, self.builder, one, number, size)
            beyond = self.builder.icmp_unsigned(">=", place, size)
            with cgutils.if_unlikely(self.builder, beyond):
                self.return_exception(IndexError, (NO_ROW,), loc=self.loc)


class PartLower(InnerLower):
    """The way for a kernel's part, in which denormals are 0."""

    def lower_normal_function(self, fndesc: Any) -> None:
        """The whole function."""
        super().lower_normal_function(fndesc)
        flush_denormals(self.function)


# ---- where Numba asks for them


@register_pass(mutates_CFG=True, analysis_only=False)
class InnerLowering(NativeLowering):  # type: ignore[misc]
    """The step of the compiler that writes LLVM's code for a function that kernels call."""

    _name = "inner_lowering"
    lowering_class = InnerLower


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):  # type: ignore[misc]
    """The step that writes LLVM's code for a kernel's part."""

    _name = "part_lowering"
    lowering_class = PartLower


class InnerCompiler(Compiler):  # type: ignore[misc]
    """Numba's compiler, with a step of ours in the place of its last but one."""

    lowering: Any = InnerLowering

    def define_pipelines(self) -> list[Any]:
        """The steps."""
        pipelines: list[Any] = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (self.lowering if step is NativeLowering else step, text)
                for step, text in pipeline.passes
            ]
            pipeline.finalize()
        return pipelines


class PartCompiler(InnerCompiler):
    """The compiler for a kernel's part."""

    lowering = PartLowering
