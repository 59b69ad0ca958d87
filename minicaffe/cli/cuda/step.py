"""Step through a CUDA kernel: minicaffe cuda step relu.forward x=1000 y=1000 slope=0.1

After each instruction you see the line of Python that it belongs to, the threads of a warp that
execute it, and what it wrote in one of them. Then a command is read:

    i [N]    on by one instruction, or N        r          registers of the thread
    l [N]    to the next line of Python         r %f1      a register in all threads of the warp
    b        to the next barrier                t N        look at thread N of the block
    c        to the end                         q          leave

An empty line repeats the last one. Commands may come from a pipe; where they end, the kernel ends.
"""

import argparse
import sys

from .._commands import Parser
from ._call import add_call_words, call_of, use_emulator


def configure(parser: Parser) -> None:
    """The kernel, and which of its threads."""
    add_call_words(parser)
    parser.flag("block", "look at this block of the grid (default 0)", type=int, default=0)
    parser.flag("thread", "and at this thread of it (default 0)", type=int, default=0)
    parser.flag("kernel", "step through this kernel, if the function launches several")
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Call the function; each launch is stepped through."""
    use_emulator()
    from ...ptx.checked import watching
    from ...ptx.step import Left, Stepper

    call = call_of(args.call, args.seed)
    ask = input if sys.stdin.isatty() else lambda prompt: input()
    stepper = Stepper(args.block, args.thread, args.kernel, ask)
    try:
        with watching(stepper.begin):
            call()
    except Left:
        return
    if not stepper.seen:
        what = f"kernel '{args.kernel}'" if args.kernel else "kernel"
        args.error(f"no {what} was launched that has block {args.block}, thread {args.thread}")
