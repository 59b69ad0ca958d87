"""An observer that stops after instructions, shows what happened, and asks how to go on."""

import linecache
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .checked.lanes import WARP, Lanes, Value
from .instruction import TYPES, Instruction
from .layout import is_barrier
from .program import Kernel

_HOUSE = Path(__file__).resolve().parents[2]
_HELP = "i [N]: instructions; l [N]: lines; b: barrier; c: end; r [REGISTER]; t THREAD; q"


class Left(BaseException):
    """Whoever steps wants no more; no fault, so that nobody takes it for one."""


class Stepper:
    """Steps through launches of a kernel, or of all (`only` is ""), by one thread of one block."""

    def __init__(
        self,
        block: int = 0,
        thread: int = 0,
        only: str = "",
        ask: Callable[[str], str] = input,
        show: Callable[[str], None] = print,
    ) -> None:
        self.block, self.thread, self.only = block, thread, only
        self.seen = 0  # instructions
        self._ask, self._show = ask, show
        self._command, self._left = "i", 1
        self._kernel: Kernel | None = None
        self._place = ("", 0)

    def begin(self, kernel: Kernel) -> "Stepper | None":
        """The observer of a launch; None for kernels that are not asked for."""
        if self.only and kernel.short_name != self.only:
            return None
        self._kernel, self._place = None, ("", 0)
        return self

    def accessed(self, batch: Lanes, space: str, address: Value, size: int) -> None:
        """Nothing: the registers show it (`Observer`)."""

    def executed(self, batch: Lanes, at: int) -> None:
        """Show an instruction that the thread's warp has executed, and ask (`Observer`)."""
        lane = self._lane(batch)
        if lane is None:
            return
        warp = slice(lane // WARP * WARP, lane // WARP * WARP + WARP)
        if not batch.mask.lanes[warp].any():
            return
        if self._kernel is None:
            self._kernel = batch.kernel
            grid, block = batch.launch.grid, batch.launch.block
            self._show(f"kernel {batch.kernel.short_name}, grid {grid}, block {block}")
        self.seen += 1
        instruction = batch.kernel.instructions[at]
        place = (instruction.file, instruction.python_line)
        new_line = place != self._place and place[1] > 0
        if self._stops(instruction, new_line):
            if new_line:
                self._show(f"{place[0]}:{place[1]} | {_source(*place)}")
            self._show(_described(batch, instruction, lane, warp))
            self._place = place
            self._read_command(batch, lane, warp)
        elif new_line and self._command != "l":
            self._place = place

    def _lane(self, batch: Lanes) -> int | None:
        """The lane of the thread that is looked at, if it is in this batch."""
        block = self.block - batch.first
        if 0 <= block < batch.blocks and self.thread < batch.launch.threads:
            return block * batch.width + self.thread
        return None

    def _stops(self, instruction: Instruction, new_line: bool) -> bool:
        if self._command == "l" and not new_line:
            return False
        if self._command == "b":
            return is_barrier(instruction)
        if self._command == "c":
            return False
        self._left -= 1
        return self._left <= 0

    def _read_command(self, batch: Lanes, lane: int, warp: slice) -> None:
        while True:
            try:
                words = self._ask("> ").split()
            except EOFError:
                words = ["c"]
            command, *more = words or [self._command]
            if command in ("i", "l", "b", "c"):
                self._command = command
                self._left = int(more[0]) if more and more[0].isdecimal() else 1
                return
            if command == "q":
                raise Left
            if command == "r":
                for line in _registers(batch, lane, warp, more[0] if more else ""):
                    self._show(line)
            elif command == "t" and more and more[0].isdecimal():
                if int(more[0]) < batch.launch.threads:
                    self.thread = int(more[0])
                    lane = self._lane(batch) or 0
                    warp = slice(lane // WARP * WARP, lane // WARP * WARP + WARP)
                else:
                    self._show(f"a block has {batch.launch.threads} threads")
            else:
                self._show(_HELP)


def _source(file: str, line: int) -> str:
    """A line of Python; files of the house are known by their path in it."""
    path = Path(file) if Path(file).is_file() else _HOUSE / file
    return linecache.getline(str(path), line).rstrip()


def _described(batch: Lanes, instruction: Instruction, lane: int, warp: slice) -> str:
    """Lanes, instruction, what it wrote."""
    lanes = "".join("#" if each else "." for each in batch.mask.lanes[warp])
    text = " ".join(instruction.text.split())
    wrote = ""
    if batch.mask.lanes[lane]:
        named = [name for name in instruction.writes if name in batch.kernel.registers]
        wrote = "  ".join(f"{name} = {_shown(batch, name, lane, instruction)}" for name in named)
    return f"    {lanes}  {text:44}  {wrote}".rstrip()


def _number_of(batch: Lanes, name: str) -> int:
    return list(batch.kernel.registers).index(name)


def _value(batch: Lanes, name: str) -> Value | None:
    return batch.registers[_number_of(batch, name)]


def _shown(batch: Lanes, name: str, lane: int, instruction: Instruction | None = None) -> str:
    value = _value(batch, name)
    if value is None:
        return "?"
    one = batch.whole(value)[lane : lane + 1]
    if instruction and instruction.type and one.dtype.kind != "b":
        dtype = TYPES[instruction.type]
        if dtype.itemsize == one.dtype.itemsize and dtype.kind != "b":
            one = one.view(dtype)
    return _number(one[0])


def _number(value: np.generic) -> str:
    if value.dtype.kind == "f":
        return f"{value:.9g}"
    return hex(int(value)) if value.dtype.kind == "u" and int(value) >= 1 << 32 else str(value)


def _registers(batch: Lanes, lane: int, warp: slice, name: str) -> list[str]:
    """All registers of a thread that were written; or one of them in all threads of the warp."""
    if not name:
        known = [each for each in batch.kernel.registers if _value(batch, each) is not None]
        return [f"    {each} = {_shown(batch, each, lane)}" for each in known]
    value = _value(batch, name) if name in batch.kernel.registers else None
    if value is None:
        return [f"    no register '{name}' has a value"]
    return ["    " + " ".join(_number(each) for each in batch.whole(value)[warp])]
