"""The loops around a warp, compiled too: block after block, round after round, warp after warp.

i32 blocks(context, states, threads, first, count, warps, last)
    context   words of context.py        states    three i32 a warp
    threads   96 i32 a warp, %tid.x of 32 lanes, then .y and .z
    last      the word of threads in the last warp of a block
    returns   0, or -1 where a warp stopped: the context says at what

A round runs every warp of a block up to its next barrier, which must be the same for all.
"""

from typing import Any

from llvmlite import ir

from .context import Reason, Word
from .lanes import INT32, INT64, POINTER, WARP, Value
from .warp import ENDED, FAILED, Warp

BUDGET_AT_START = Word.BUDGET


def define_blocks(warp: Warp, module: ir.Module) -> None:
    """Define `blocks` for a kernel whose warp function is written."""
    _Blocks(warp, module).write()


class _Blocks:
    def __init__(self, warp: Warp, module: ir.Module) -> None:
        kinds = [POINTER, POINTER, POINTER, INT32, INT32, INT32, INT32, INT64]
        self.warp = warp
        self.function = ir.Function(module, ir.FunctionType(INT32, kinds), "blocks")
        self.context, self.states, self.threads, self.first = self.function.args[:4]
        self.count, self.warps, self.last, self.budget = self.function.args[4:]
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def write(self) -> None:
        b = self.b
        self.saved, self.local = self._word(Word.SAVED), self._word(Word.LOCAL)
        self.stopped = self.function.append_basic_block("stopped")
        loop = _Loop(self, "block", self.count)
        self._begin_block(b.add(self.first, loop.index))
        states = _Loop(self, "state", self.warps)
        self._begin_warp(states.index)
        states.close()
        self._rounds()
        loop.close()
        b.ret(INT32(0))
        b.position_at_end(self.stopped)
        b.ret(INT32(FAILED))

    def _place(self, word: int) -> Value:
        return self.b.gep(self.context, [INT32(word)], source_etype=INT64)

    def _word(self, word: int) -> Value:
        return self.b.load(self._place(word), typ=INT64)

    def _begin_block(self, number: Value) -> None:
        """%ctaid of a block, from its number."""
        b = self.b
        rest = b.zext(number, INT64)
        for axis in range(2):
            size = self._word(Word.GRID_SIZE + axis)
            b.store(b.urem(rest, size), self._place(Word.BLOCK + axis))
            rest = b.udiv(rest, size)
        b.store(rest, self._place(Word.BLOCK + 2))
        b.store(self.budget, self._place(Word.BUDGET))

    def _begin_warp(self, number: Value) -> None:
        b = self.b
        is_last = b.icmp_unsigned("==", number, b.sub(self.warps, INT32(1)))
        state = self._state(number)
        for place, value in enumerate(
            [INT32(0), b.select(is_last, self.last, INT32(-1)), INT32(0)]
        ):
            b.store(value, b.gep(state, [INT32(place)], source_etype=INT32))

    def _state(self, number: Value) -> Value:
        return self.b.gep(self.states, [self.b.mul(number, INT32(3))], source_etype=INT32)

    def _rounds(self) -> None:
        """Until a round in which no warp has stopped at a barrier."""
        b = self.b
        with b.goto_entry_block():
            barrier = b.alloca(INT32)
        again, after = (self.function.append_basic_block(word) for word in ("round", "block_end"))
        b.branch(again)
        b.position_at_end(again)
        b.store(INT32(0), barrier)
        loop = _Loop(self, "warp", self.warps)
        state = self._state(loop.index)
        ended = b.icmp_signed("==", b.load(state, typ=INT32), INT32(ENDED))
        with b.if_then(b.not_(ended)):
            self._run(loop.index, state, barrier)
        loop.close()
        waits = b.icmp_unsigned("!=", b.load(barrier, typ=INT32), INT32(0))
        b.cbranch(waits, again, after)
        b.position_at_end(after)

    def _run(self, number: Value, state: Value, barrier: Value) -> None:
        b = self.b
        wide = b.zext(number, INT64)
        local = INT64(self.warp.kernel.local_bytes * WARP)
        here = b.ptrtoint(
            b.gep(self.threads, [b.mul(number, INT32(3 * WARP))], source_etype=INT32), INT64
        )
        b.store(here, self._place(Word.THREADS))
        b.store(wide, self._place(Word.WARP))
        b.store(b.add(self.local, b.mul(wide, local)), self._place(Word.LOCAL))
        saved = INT64(self.warp.saved_bytes)
        b.store(b.add(self.saved, b.mul(wide, saved)), self._place(Word.SAVED))
        at = b.call(self.warp.function, [self.context, state])
        b.store(self.saved, self._place(Word.SAVED))
        b.store(self.local, self._place(Word.LOCAL))
        with b.if_then(b.icmp_signed("<", at, INT32(0)), likely=False):
            b.branch(self.stopped)
        with b.if_then(b.icmp_unsigned("!=", at, INT32(0))):
            others = b.load(barrier, typ=INT32)
            apart = b.and_(
                b.icmp_unsigned("!=", others, INT32(0)), b.icmp_unsigned("!=", others, at)
            )
            with b.if_then(apart, likely=False):
                b.store(INT64(Reason.BARRIER), self._place(Word.FAULT))
                b.store(b.zext(at, INT64), self._place(Word.FAULT + 1))
                b.branch(self.stopped)
            b.store(at, barrier)


class _Loop:
    """for index in range(count), where count is at least 1; the body goes on until `close`."""

    def __init__(self, blocks: _Blocks, name: str, count: Any) -> None:
        self.b, self.count = blocks.b, count
        with self.b.goto_entry_block():
            self._cell = self.b.alloca(INT32)
        self.b.store(INT32(0), self._cell)
        self._body = blocks.function.append_basic_block(name)
        self._after = blocks.function.append_basic_block(f"{name}s_end")
        self.b.branch(self._body)
        self.b.position_at_end(self._body)
        self.index = self.b.load(self._cell, typ=INT32)

    def close(self) -> None:
        more = self.b.add(self.index, INT32(1))
        self.b.store(more, self._cell)
        self.b.cbranch(self.b.icmp_unsigned("<", more, self.count), self._body, self._after)
        self.b.position_at_end(self._after)
