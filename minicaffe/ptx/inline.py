"""A call becomes the body of the function that is called: parameters and results are registers.

A pair of parameter and offset, such as [param0+8], is a register named "param0+8" from here on. A
function that the text does not have, as `vprintf`, stays a call, whose operands are such registers:
call.NAME  Vector(results), Vector(parameters).
"""

from dataclasses import replace

from ..errors import ParseError
from .function import Function
from .instruction import TYPES, Address, Instruction, Not, Operand, Register, Symbol, Vector


def inline_calls(functions: dict[str, Function]) -> None:
    """Inline all calls of all functions. Raises ParseError for one that calls itself."""
    for function in functions.values():
        _inline(function, functions, (function.name,))


def _inline(function: Function, functions: dict[str, Function], trail: tuple[str, ...]) -> None:
    out: list[Instruction] = []
    labels: dict[str, int] = {}
    at_label: dict[int, list[str]] = {}
    for label, at in function.labels.items():
        at_label.setdefault(at, []).append(label)
    cells = _Cells(function)
    for at, instruction in enumerate(function.instructions):
        labels.update(dict.fromkeys(at_label.get(at, ()), len(out)))
        if instruction.opcode != "call":
            out.append(cells.of_caller(instruction))
            continue
        results, callee_name, given = _call_parts(instruction)
        callee = functions.get(callee_name)
        if callee is None:
            out.append(cells.outside(instruction, callee_name, results, given))
            continue
        if callee_name in trail:
            raise ParseError(f"PTX, line {instruction.line}: {callee_name} calls itself")
        _inline(callee, functions, (*trail, callee_name))
        names = dict(zip([slot.name for slot in callee.results], results, strict=True))
        names |= dict(zip([slot.name for slot in callee.parameters], given, strict=True))
        body = _Body(callee, f"#{len(out)}", names, cells)
        labels |= {label: len(out) + place for label, place in body.labels.items()}
        out += body.instructions
    labels.update(dict.fromkeys(at_label.get(len(function.instructions), ()), len(out)))
    function.instructions, function.labels = out, labels


def _call_parts(call: Instruction) -> tuple[list[str], str, list[str]]:
    """The names of a call's results, function and arguments: call (r), name, (a, b);"""
    lists: list[list[str]] = []
    name = ""
    for operand in call.operands:
        if isinstance(operand, Vector):
            lists.append([each.name for each in operand.items if isinstance(each, Symbol)])
        elif isinstance(operand, Symbol) and not name:
            name = operand.name
            if not lists:
                lists.append([])  # no results
    if not name:
        raise ParseError(f"PTX, line {call.line}: the address of a function cannot be called")
    return lists[0], name, lists[1] if len(lists) > 1 else []


class _Cells:
    """The registers of a caller that stand for parameters and results of the calls in it."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.own = {slot.name for slot in (*function.parameters, *function.results)}

    def at(self, name: str, offset: int, kind: str) -> Register:
        """The register for the value at an offset of a slot."""
        register = f"{name}+{offset}"
        bits = kind if kind in ("f32", "f64") else f"b{8 * TYPES[kind].itemsize}"
        self.function.registers.setdefault(register, bits)
        return Register(register)

    def moves(self, instruction: Instruction, names: dict[str, str]) -> Instruction | None:
        """ld.param or st.param of a slot in `names` as a mov; None for all other instructions."""
        if instruction.space != "param" or instruction.opcode not in ("ld", "st"):
            return None
        load = instruction.opcode == "ld"
        address = instruction.operands[1 if load else 0]
        value = instruction.operands[0 if load else 1]
        if not isinstance(address, Address) or not isinstance(address.base, Symbol):
            return None
        name = names.get(address.base.name)
        if name is None:
            return None
        kind = instruction.type
        items = value.items if isinstance(value, Vector) else (value,)
        size = TYPES[kind].itemsize
        cells: list[Operand] = [
            self.at(name, address.offset + size * index, kind) for index in range(len(items))
        ]
        cell = Vector(tuple(cells)) if isinstance(value, Vector) else cells[0]
        modifiers = ("each", kind) if isinstance(value, Vector) else (kind,)
        operands = (value, cell) if load else (cell, value)
        return replace(instruction, opcode="mov", modifiers=modifiers, operands=operands)

    def of_caller(self, instruction: Instruction) -> Instruction:
        """An instruction of the caller, which may fill or read the slots of a call."""
        slots = {name: name for name in self.function.slots if name not in self.own}
        return self.moves(instruction, slots) or instruction

    def outside(
        self, call: Instruction, name: str, results: list[str], given: list[str]
    ) -> Instruction:
        """A call of a function that the text does not have."""
        kinds = {slot: self.function.slots[slot].type for slot in (*results, *given)}
        cells = [
            Vector(tuple(self.at(slot, 0, kinds[slot]) for slot in slots))
            for slots in (results, given)
        ]
        return replace(call, modifiers=(name,), operands=tuple(cells))


class _Body:
    """The instructions of a callee for one call, with names of their own."""

    def __init__(self, callee: Function, tag: str, names: dict[str, str], cells: _Cells) -> None:
        self.callee, self.tag = callee, tag
        registers = cells.function.registers
        registers |= {name + tag: kind for name, kind in callee.registers.items()}
        end = Symbol(f"$end{tag}")
        self.instructions: list[Instruction] = []
        for instruction in callee.instructions:
            renamed = replace(
                instruction,
                operands=tuple(self._renamed(each) for each in instruction.operands),
                predicate=instruction.predicate and self._register(instruction.predicate),
            )
            if renamed.opcode == "ret":
                renamed = replace(renamed, opcode="bra", modifiers=(), operands=(end,))
            self.instructions.append(cells.moves(renamed, names) or renamed)
        self.labels = {label + tag: at for label, at in callee.labels.items()}
        self.labels[end.name] = len(self.instructions)
        cells.function.variables |= {
            name + tag: replace(each, name=name + tag) for name, each in callee.variables.items()
        }

    def _register(self, register: Register) -> Register:
        return register if register.name == "_" else Register(register.name + self.tag)

    def _renamed(self, operand: Operand) -> Operand:
        match operand:
            case Register():
                return self._register(operand)
            case Not(register):
                return Not(self._register(register))
            case Address(Register() as base, offset):
                return Address(self._register(base), offset)
            case Address(Symbol(name), offset) if name in self.callee.variables:
                return Address(Symbol(name + self.tag), offset)
            case Vector(items):
                return Vector(tuple(self._renamed(each) for each in items))
            case Symbol(name) if name in self.callee.labels or name in self.callee.variables:
                return Symbol(name + self.tag)
        return operand
