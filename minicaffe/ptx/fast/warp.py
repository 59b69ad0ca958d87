"""A kernel as an LLVM function that runs one warp: i32 warp(context, state).

Each basic block of the PTX owns a word, the lanes that wait to enter it. Blocks stand in the order
of the text; one without lanes is skipped, and a branch back is taken at once if any lane takes it.
So the lanes that are furthest behind run first, and lanes that went apart meet again where a GPU's
would. At a barrier the registers that live on are saved and the function returns; called again, it
goes on there.

    state    i32 resume (0: the start, -1: ended), alive lanes, waiting lanes
    returns  0 at the end, k > 0 at a barrier before block k, -1 for a fault (Word.FAULT)
"""

from llvmlite import ir

from ..instruction import Immediate, Instruction, Symbol
from ..layout import is_barrier
from ..program import Block, Kernel
from .context import Reason, Unknown, Word
from .frame import Frame
from .instructions import translate
from .lanes import INT32, INT64, POINTER, WARP, Value, scalar, vector, width

ENDED = -1
FAILED = -1


class Warp:
    """The translation of a kernel.

    function     the LLVM function
    saved_bytes  the room of a warp for its registers at barriers
    """

    def __init__(self, kernel: Kernel, module: ir.Module, portable: bool) -> None:
        self.kernel = kernel
        kind = ir.FunctionType(INT32, [POINTER, POINTER])
        self.function = ir.Function(module, kind, "warp")
        self.function.linkage = "internal"
        self.state = self.function.args[1]
        self.frame = Frame(kernel, self.function, portable)
        self.lanes = self.frame.lanes
        self.saved_bytes = 0
        self._barriers: set[int] = set()  # the blocks that follow one
        self._write()

    def _write(self) -> None:
        b, blocks = self.lanes.b, self.kernel.blocks
        self._waiting_at = [self.frame.variable(INT32) for _ in range(len(blocks) + 1)]
        self._alive, self._waiting, self._barrier = (self.frame.variable(INT32) for _ in range(3))
        for cell in (*self._waiting_at, self._waiting, self._barrier):
            b.store(INT32(0), cell)
        self._tests = [self.function.append_basic_block(f"test{k}") for k in range(len(blocks))]
        self._tests.append(self.function.append_basic_block("end"))
        start = self.function.append_basic_block("start")
        b.branch(start)  # `entry` stays open for special registers: see _special
        self._start(start)
        for block in blocks:
            self._block(block)
        self._end()
        b.position_at_end(self.frame.fault)
        b.ret(INT32(FAILED))

    def _start(self, start: Value) -> None:
        """Go where the warp was left."""
        b = self.lanes.b
        b.position_at_end(start)
        b.store(b.load(self._state(1), typ=INT32), self._alive)
        self._lost = self.function.append_basic_block("lost")
        self._resume = b.switch(b.load(self._state(0), typ=INT32), self._lost)
        first = self.function.append_basic_block("first")
        self._resume.add_case(INT32(0), first)
        b.position_at_end(first)
        b.store(b.load(self._alive, typ=INT32), self._waiting_at[0])
        b.branch(self._tests[0])
        b.position_at_end(self._lost)
        b.unreachable()

    def _state(self, place: int) -> Value:
        return self.lanes.b.gep(self.state, [INT32(place)], source_etype=INT32)

    def _block(self, block: Block) -> None:
        b, k = self.lanes.b, block.number
        b.position_at_end(self._tests[k])
        self.frame.active = b.load(self._waiting_at[k], typ=INT32)
        body = self.function.append_basic_block(f"body{k}")
        b.cbranch(b.icmp_unsigned("==", self.frame.active, INT32(0)), self._tests[k + 1], body)
        b.position_at_end(body)
        b.store(INT32(0), self._waiting_at[k])
        for instruction in self.kernel.instructions[block.start : block.stop]:
            try:
                self._instruction(instruction, block)
            except Unknown:
                raise Unknown(f"PTX line {instruction.line}: {instruction.text}") from None
        if not b.block.is_terminated:
            self._send(k + 1, self.frame.active)
            b.branch(self._tests[k + 1])

    def _send(self, to: int, lanes: Value) -> None:
        """Let lanes wait to enter a block; the last number is the end."""
        b, cell = self.lanes.b, self._waiting_at[to]
        b.store(b.or_(b.load(cell, typ=INT32), lanes), cell)

    def _taken(self, instruction: Instruction) -> Value:
        """The active lanes in which the instruction's predicate holds."""
        if instruction.predicate is None:
            return self.frame.active
        b = self.lanes.b
        bits = self.lanes.as_bits(self.frame.read(instruction.predicate, "pred"))
        return b.and_(self.frame.active, b.not_(bits) if instruction.negated else bits)

    def _instruction(self, instruction: Instruction, block: Block) -> None:
        opcode = instruction.opcode
        if opcode == "bra":
            self._branch(instruction, block)
        elif opcode in ("ret", "exit"):
            self._exit(instruction, block)
        elif is_barrier(instruction):
            self._wait(instruction, block)
        elif instruction.predicate is None:
            translate(self.frame, instruction)
        else:
            with self.frame.only(self._taken(instruction)):
                translate(self.frame, instruction)

    def _branch(self, instruction: Instruction, block: Block) -> None:
        target = instruction.operands[0]
        if not isinstance(target, Symbol):
            raise Unknown
        b, k = self.lanes.b, block.number
        to = self.kernel.block_of_label[target.name]
        taken = self._taken(instruction)
        self._send(to, taken)
        if instruction.predicate is not None:
            self._send(k + 1, b.and_(self.frame.active, b.not_(taken)))
        if to > k:
            b.branch(self._tests[k + 1])
            return
        self._spend(instruction, block.stop - self.kernel.blocks[to].start)
        b.cbranch(b.icmp_unsigned("!=", taken, INT32(0)), self._tests[to], self._tests[k + 1])

    def _spend(self, instruction: Instruction, instructions: int) -> None:
        """Take a round of a loop off the budget."""
        b = self.lanes.b
        left = b.sub(self.frame.word(Word.BUDGET), INT64(instructions))
        b.store(left, b.gep(self.frame.context, [INT32(Word.BUDGET)], source_etype=INT64))
        with b.if_then(b.icmp_signed("<", left, INT64(0)), likely=False):
            self.frame.fail(Reason.BUDGET, instruction)

    def _exit(self, instruction: Instruction, block: Block) -> None:
        b = self.lanes.b
        leaving = self._taken(instruction)
        alive = b.load(self._alive, typ=INT32)
        b.store(b.and_(alive, b.not_(leaving)), self._alive)
        if instruction.predicate is not None:
            self._send(block.number + 1, b.and_(self.frame.active, b.not_(leaving)))
        b.branch(self._tests[block.number + 1])

    def _wait(self, instruction: Instruction, block: Block) -> None:
        """Lanes wait here until the whole block stands at this barrier."""
        plain = instruction.modifiers in (
            ("sync",),
            ("sync", "aligned"),
            ("cta", "sync", "aligned"),
        )
        whole = [each.bits for each in instruction.operands if isinstance(each, Immediate)] == [0]
        if not plain or not whole or instruction.predicate is not None:
            raise Unknown
        b, after = self.lanes.b, block.number + 1
        waiting, barrier = b.load(self._waiting, typ=INT32), b.load(self._barrier, typ=INT32)
        others = b.and_(
            b.icmp_unsigned("!=", waiting, INT32(0)), b.icmp_unsigned("!=", barrier, INT32(after))
        )
        with b.if_then(others, likely=False):
            self.frame.fail(Reason.BARRIER, instruction)
        b.store(b.or_(waiting, self.frame.active), self._waiting)
        b.store(INT32(after), self._barrier)
        self._barriers.add(after)
        b.branch(self._tests[after])

    def _end(self) -> None:
        """All lanes have left or wait."""
        b = self.lanes.b
        b.position_at_end(self._tests[-1])
        leaving = b.load(self._waiting_at[-1], typ=INT32)  # who came to the end of the text
        alive = b.and_(b.load(self._alive, typ=INT32), b.not_(leaving))
        b.store(alive, self._state(1))
        done, wait = (self.function.append_basic_block(word) for word in ("done", "barrier"))
        b.cbranch(b.icmp_unsigned("==", alive, INT32(0)), done, wait)
        b.position_at_end(done)
        b.store(INT32(ENDED), self._state(0))
        b.ret(INT32(0))
        b.position_at_end(wait)
        b.store(b.load(self._waiting, typ=INT32), self._state(2))
        chosen = b.switch(b.load(self._barrier, typ=INT32), self._lost)
        for after in sorted(self._barriers):
            save = self.function.append_basic_block(f"save{after}")
            chosen.add_case(INT32(after), save)
            self._save_and_restore(after, save)

    def _save_and_restore(self, after: int, save: Value) -> None:
        b, blocks = self.lanes.b, self.kernel.blocks
        live = sorted(blocks[after].live) if after < len(blocks) else []
        sizes = [WARP * max(1, width(scalar(self.kernel.registers[name])) // 8) for name in live]
        places = [sum(sizes[:number]) for number in range(len(sizes))]
        self.saved_bytes = max(self.saved_bytes, sum(sizes))
        b.position_at_end(save)
        for name, place in zip(live, places, strict=True):
            value = b.load(self.frame.registers[name], typ=self._kind(name))
            if self.kernel.registers[name] == "pred":
                value = self.lanes.as_bits(value)
            b.store(value, self.frame.pointer(Word.SAVED, place), align=4)
        b.store(INT32(after), self._state(0))
        b.ret(INT32(after))
        restore = self.function.append_basic_block(f"restore{after}")
        self._resume.add_case(INT32(after), restore)
        b.position_at_end(restore)
        for name, place in zip(live, places, strict=True):
            at = self.frame.pointer(Word.SAVED, place)
            if self.kernel.registers[name] == "pred":
                value = self.lanes.as_mask(b.load(at, typ=INT32, align=4))
            else:
                value = b.load(at, typ=self._kind(name), align=4)
            b.store(value, self.frame.registers[name])
        b.store(b.load(self._state(2), typ=INT32), self._waiting_at[after])
        b.branch(self._tests[after])

    def _kind(self, name: str) -> ir.Type:
        return vector(scalar(self.kernel.registers[name]))
