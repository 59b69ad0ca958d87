"""A kernel's loop cut into parts: what makes `prange` run on several threads.

    for i in prange(n):     becomes     for i in range(n * part // parts, n * (part + 1) // parts):
                                            i = natural(i)

and `part` and `parts` become the first two arguments. The machine code of this function serves any
number of threads: one calls it with part 0 of 1, several with a part each (`launch`). Numba has a
parallel `prange` of its own, which compiles every kernel again, with all it calls, three times
over: for the larger kernels that is ten seconds instead of one.

A part that raises an exception ends, and the others do not hear of it. The caller gets that of the
first part that did, which is the one that a single thread would have raised.

`natural` tells the compiler that i is not negative. In Python a negative index counts from the end,
and a loop that has to look for it at each turn does not become vector code.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.core.callconv import errcode_t, excinfo_ptr_t
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

    Raises SyntaxError unless the body's last statement is its one loop over `prange(n)`, and
    NotImplementedError where it raises that.
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
    match loop:
        case ast.Raise(
            exc=ast.Call(func=ast.Name("NotImplementedError"), args=[ast.Constant(str(said))])
        ):
            raise NotImplementedError(said)  # a kernel that is yet to be written
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


WORD = types.int64
FAILURE = 2  # words: the status of a part, 0 where all is well, and where its exception is


@intrinsic  # type: ignore[untyped-decorator]
def _task(typing: Any, function: Any, parts: Any, args: Any) -> Any:
    """The addresses of `entry`, `data` and `failures`: entry(data, part, parts) calls the function
    at an address with (part, parts, *args), and writes down how it failed.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(WORD)
        function, parts, args = values
        size = builder.mul(parts, word(FAILURE))
        failures = builder.alloca(word, size)
        cgutils.memset(builder, failures, builder.mul(size, word(word.width // 8)), 0)
        content = cgutils.pack_struct(builder, (function, failures, args))
        data = cgutils.alloca_once_value(builder, content)
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        entry = ir.Function(builder.module, kind, f"{builder.function.name}.entry")
        entry.linkage = "internal"
        _write_entry(context, entry, signature.args[2].types, data.type)
        addresses = [builder.ptrtoint(address, word) for address in (entry, data, failures)]
        return context.make_tuple(builder, signature.return_type, addresses)

    return types.UniTuple(WORD, 3)(WORD, WORD, args), emit


def _write_entry(context: Any, entry: Any, args: Any, data_type: Any) -> None:
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    data, part, parts = entry.args
    function, failures, packed = cgutils.unpack_tuple(
        builder, builder.load(builder.inttoptr(data, data_type)), 3
    )
    kinds = (WORD, WORD, *args)
    kind = context.call_conv.get_function_type(types.none, kinds)
    values = [part, parts, *cgutils.unpack_tuple(builder, packed, len(args))]
    target = builder.inttoptr(function, kind.as_pointer())
    status, _ = context.call_conv.call_function(builder, target, types.none, kinds, values)
    with cgutils.if_unlikely(builder, status.is_error):
        code, exception = _failure(builder, failures, part)
        builder.store(builder.sext(status.code, part.type), code)
        builder.store(builder.ptrtoint(status.excinfoptr, part.type), exception)
    builder.ret_void()


def _failure(builder: Any, failures: Any, part: Any) -> tuple[Any, Any]:
    """The places of a part's two words."""
    first = builder.mul(part, part.type(FAILURE))
    return builder.gep(failures, [first]), builder.gep(
        failures, [builder.add(first, first.type(1))]
    )


@intrinsic  # type: ignore[untyped-decorator]
def _raise(typing: Any, failures: Any, part: Any) -> Any:
    """End as a part did, if it failed."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(WORD)
        places = _failure(builder, builder.inttoptr(values[0], word.as_pointer()), values[1])
        code, exception = map(builder.load, places)
        with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, code)):
            status = SimpleNamespace(
                code=builder.trunc(code, errcode_t),
                excinfoptr=builder.inttoptr(exception, excinfo_ptr_t),
            )
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(WORD, WORD), emit


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing: Any, entry: Any, data: Any, part: Any, parts: Any) -> Any:
    """entry(data, part, parts)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(WORD)
        kind = ir.FunctionType(ir.VoidType(), [word, word, word])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(WORD, WORD, WORD, WORD), emit


def _run(entry: int, data: int, parts: int) -> None:
    for part in prange(parts):
        _call(entry, data, part, parts)


def _launch(function: int, parts: int, args: tuple[Any, ...]) -> None:
    entry, data, failures = _task(function, parts, args)
    run(entry, data, parts)
    for part in range(parts):
        _raise(failures, part)


def _compiled(body: Callable[..., None], **options: Any) -> Any:
    dispatcher: Any = numba.njit(body, nogil=True, no_cfunc_wrapper=True, **options)
    if dispatcher is not body:  # it is under NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(body, dispatcher.targetoptions)  # type: ignore[arg-type]
    return dispatcher


run = _compiled(_run, parallel=True)
launch = _compiled(_launch)  # once for each list of argument types, whatever the kernel
