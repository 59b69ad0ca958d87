"""A kernel's loop cut into parts: what makes `prange` run on several threads.

    for i in prange(n):     becomes     for i in range(n * part // parts, n * (part + 1) // parts):
                                            i = natural(i)

and `part` and `parts` become the first two arguments. The machine code of this function serves any
number of threads: one calls it with part 0 of 1, several with a part each (`launch`). Numba has a
parallel `prange` of its own, which compiles every kernel again, with all it calls, three times
over: for the larger kernels that is ten seconds instead of one.

`natural` tells the compiler that i is not negative. In Python a negative index counts from the end,
and a loop that has to look for it at each turn does not become vector code.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .cache import KernelCache

NATURAL = "natural_"  # what the kernels call it


@intrinsic  # type: ignore[untyped-decorator]
def natural(typing: Any, number: Any) -> Any:
    """The number, which the compiler may assume not to be negative."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.assume(builder.icmp_signed(">=", values[0], values[0].type(0)))
        return values[0]

    return types.int64(types.int64), emit


def in_parts(body: Callable[..., Any]) -> FunctionType:
    """The body as a function of (part, parts, its arguments).

    Raises SyntaxError unless the body's last statement is its one loop over `prange(n)`.
    """
    assert isinstance(body, FunctionType)
    tree = ast.parse(textwrap.dedent(inspect.getsource(body)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    _cut(function, f"{body.__code__.co_filename}:{body.__code__.co_firstlineno}")
    function.decorator_list = []
    function.args.args[:0] = [ast.arg("part_"), ast.arg("parts_")]
    for argument in function.args.args:
        argument.annotation = None
    # A function around it, whose arguments are what the body is closed over.
    names = ", ".join(body.__code__.co_freevars)
    outer = ast.parse(f"def outer({names}): return {function.name}")
    assert isinstance(outer.body[0], ast.FunctionDef)
    outer.body[0].body.insert(0, function)
    ast.increment_lineno(function, body.__code__.co_firstlineno - 1)
    made: dict[str, Any] = {}
    code = compile(ast.fix_missing_locations(outer), body.__code__.co_filename, "exec")
    exec(code, body.__globals__ | {NATURAL: natural}, made)
    parts: FunctionType = made["outer"](*(cell.cell_contents for cell in body.__closure__ or ()))
    parts.__module__, parts.__qualname__ = body.__module__, body.__qualname__
    return parts


def _cut(function: ast.FunctionDef, where: str) -> None:
    """Replace `prange(n)` by the range of a part."""
    loop = function.body[-1]
    loops = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "prange"
    ]
    if not isinstance(loop, ast.For) or loops != [loop.iter] or len(loops[0].args) != 1:
        raise SyntaxError(
            f"{where}: the last statement of kernel {function.name} must be its one loop over "
            "prange(n); what comes before it is done in every part, what must come after it is "
            "another kernel"
        )
    count = ast.Assign([ast.Name("count_", ast.Store())], loops[0].args[0])
    function.body.insert(-1, ast.copy_location(count, loop))
    text = "range(count_ * part_ // parts_, count_ * (part_ + 1) // parts_)"
    loop.iter = ast.copy_location(ast.parse(text, mode="eval").body, loop)
    name = ast.unparse(loop.target)
    loop.body.insert(0, ast.parse(f"{name} = {NATURAL}({name})").body[0])
    ast.copy_location(loop.body[0], loop)


# ---- calling the parts


@intrinsic  # type: ignore[untyped-decorator]
def _task(typing: Any, function: Any, args: Any) -> Any:
    """The addresses of `entry` and `data`: entry(data, part, parts) calls the function at an
    address with (part, parts, *args).
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.int64)
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        data = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, values))
        entry = ir.Function(builder.module, kind, f"{builder.function.name}.entry")
        entry.linkage = "internal"
        _write_entry(context, entry, args.types, data.type)
        addresses = [builder.ptrtoint(entry, word), builder.ptrtoint(data, word)]
        return context.make_tuple(builder, signature.return_type, addresses)

    return types.UniTuple(types.int64, 2)(types.int64, args), emit


def _write_entry(context: Any, entry: Any, args: Any, data_type: Any) -> None:
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    data, part, parts = entry.args
    function, packed = cgutils.unpack_tuple(
        builder, builder.load(builder.inttoptr(data, data_type)), 2
    )
    kinds = (types.int64, types.int64, *args)
    kind = context.call_conv.get_function_type(types.none, kinds)
    values = [part, parts, *cgutils.unpack_tuple(builder, packed, len(args))]
    target = builder.inttoptr(function, kind.as_pointer())
    context.call_conv.call_function(builder, target, types.none, kinds, values)
    builder.ret_void()


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing: Any, entry: Any, data: Any, part: Any, parts: Any) -> Any:
    """entry(data, part, parts)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.int64)
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n), emit


def _run(entry: int, data: int, parts: int) -> None:
    for part in prange(parts):
        _call(entry, data, part, parts)


def _launch(function: int, parts: int, args: tuple[Any, ...]) -> None:
    entry, data = _task(function, args)
    run(entry, data, parts)


def _compiled(body: Callable[..., None], **options: Any) -> Any:
    dispatcher: Any = numba.njit(body, nogil=True, no_cfunc_wrapper=True, **options)
    if dispatcher is not body:  # it is under NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(body, dispatcher.targetoptions)  # type: ignore[arg-type]
    return dispatcher


run = _compiled(_run, parallel=True)
launch = _compiled(_launch)  # once for each list of argument types, whatever the kernel
