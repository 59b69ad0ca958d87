"""How a kernel is compiled with the lines of Python, so that its machine code stays as it is.

With Numba's own `debug=True` functions are not inlined, and variables are described, which keeps
them alive. Here each instruction of LLVM's gets its line and nothing else is said of it: no
variable, no type, no word to the optimiser. The whole is marked as full debug information: at
"directives only", beside variables, LLVM has been seen to abort.

All this is done to Numba's classes, so it belongs into a process that does nothing else.
"""

import ast
import inspect
import os
import textwrap
import warnings
from typing import Any

import numba
from numba.core import cpu, debuginfo, lowering
from numba.core.typing.templates import _OverloadFunctionTemplate

from .._compile import cache, jit

NUMBA = os.path.dirname(numba.__file__) + os.sep
ROOM = "minicaffe."
VARIANT = "-lines"  # of the cache's folder


moved: dict[tuple[str, int], int] = {}  # lines for which others are told: see `turn_on`


class Lines(debuginfo.DIBuilder):  # type: ignore[misc]
    """Lines, and files: a function that is pasted into another one keeps its own."""

    def __init__(self, module: Any, filepath: str, cgctx: Any, directives_only: bool) -> None:
        super().__init__(module, filepath, cgctx, directives_only=False)
        self.at = self.filepath  # the file of the statement that is lowered now

    def mark_variable(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def mark_location(self, builder: Any, line: int) -> None:
        """What comes now is of this line."""
        add = self.module.add_debug_info
        line = moved.get((self.at, line), line)
        scope = self.subprograms[-1]
        if self.at != self.filepath:
            folder, name = os.path.split(self.at)
            file = add("DIFile", {"directory": folder, "filename": name})
            words = {"scope": scope, "file": file, "discriminator": 0}
            scope = add("DILexicalBlockFile", words)
        builder.debug_metadata = add("DILocation", {"line": line, "column": 1, "scope": scope})

    def _di_subroutine_type(self, line: int, function: Any, argmap: Any) -> Any:
        return self.module.add_debug_info(
            "DISubroutineType", {"types": self.module.add_metadata([])}
        )


def turn_on(body: Any) -> None:
    """From now on this process compiles with lines, and forgets what it has compiled without.

    `body` is the kernel that is asked for. What cuts its loop into parts (`_compile/parts.py`) has
    the line where the text of the function begins; it is told as the loop's.
    """
    file, first = os.path.abspath(body.__code__.co_filename), body.__code__.co_firstlineno
    text = ast.parse(textwrap.dedent(inspect.getsource(body))).body[0]
    assert isinstance(text, ast.FunctionDef)
    moved[file, first] = first + text.body[-1].lineno - 1
    cache.variant = VARIANT
    cache.folder.cache_clear()
    warnings.simplefilter("ignore")
    finalize, lower = cpu.CPUTargetOptions.finalize, lowering.Lower.lower_inst

    def with_lines(self: Any, flags: Any, options: Any) -> None:
        flags.debuginfo = flags.dbg_directives_only = True
        flags.dbg_extend_lifetimes = bool(numba.config.EXTEND_VARIABLE_LIFETIMES)
        flags.boundscheck = bool(numba.config.BOUNDSCHECK)
        finalize(self, flags, options)

    def lower_at(self: Any, statement: Any) -> None:
        self.debuginfo.at = os.path.abspath(self.loc.filename)
        lower(self, statement)

    def builder(module: Any, filepath: str, cgctx: Any, directives_only: bool) -> Any:
        is_ours = not os.path.abspath(filepath).startswith(NUMBA)
        kind = Lines if is_ours else debuginfo.DummyDIBuilder
        return kind(module, filepath, cgctx, directives_only)

    cpu.CPUTargetOptions.finalize = with_lines
    cpu.CPUContext.DIBuilder = staticmethod(builder)
    lowering.Lower.lower_inst = lower_at
    _forget()


def _forget() -> None:
    """Let functions that are compiled already be compiled anew."""
    for function in jit.functions:
        function.overloads.clear()
    waiting = _OverloadFunctionTemplate.__subclasses__()
    while waiting:  # those that `jitable` has made
        template = waiting.pop()
        waiting += template.__subclasses__()
        module = getattr(getattr(template, "key", None), "__module__", None)
        if str(module).startswith(ROOM):
            template._impl_cache.clear()
            template._compiled_overloads.clear()
