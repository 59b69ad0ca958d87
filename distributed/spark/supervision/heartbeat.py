"""A rank's signs of life: a message a second, which says what the rank is doing.

The training knows nothing of it. A thread looks at the frames of the one that trains: which pass of
which net, and which layer, is a local variable there. So a beat costs the training nothing, layers
that run as one stay so, and what hangs is named by where it hangs. A process that is stopped, or a
machine that is gone, beats no more.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

from minicaffe.net.net import Net
from minicaffe.solver.solver import Solver

from ...sync import Sync
from ..control import ControlLine

BEAT = 1.0  # seconds from one to the next

# What a rank does while it is inside a function, for those that take long.
DOING: dict[CodeType, str] = {
    Solver.snapshot.__code__: "writes a snapshot",
    Solver.restore.__code__: "reads a snapshot",
    Solver.apply_update.__code__: "updates its weights",
    Solver.__init__.__code__: "builds its nets",
}
PASSES: dict[CodeType, str] = {
    Net.forward_pass.__code__: "forward",
    Net.backward_pass.__code__: "backward",
}


@contextlib.contextmanager
def beating(line: ControlLine) -> Iterator[None]:
    """Tell the driver, as long as a `with` block takes, that this thread lives and what it does."""
    thread, over = threading.get_ident(), threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            iteration, doing = whereabouts(sys._current_frames().get(thread))
            line.say("beat", iteration=iteration, doing=doing)

    heart = threading.Thread(target=beat, name="minicaffe-heart", daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()


def whereabouts(frame: FrameType | None) -> tuple[int | None, str]:
    """The iteration of the solver that runs in a frame or its callers, and what it is doing.

    None and "" where no solver runs.
    """
    doing = ""
    while frame is not None:
        code = frame.f_code
        if not doing and code in PASSES:
            doing = _in_pass(PASSES[code], frame)
        elif not doing and isinstance(frame.f_locals.get("self"), Sync):
            doing = "waits for the others"
        elif not doing:
            doing = DOING.get(code, "")
        if code is Solver.solve.__code__:
            return frame.f_locals["self"].iter, doing
        frame = frame.f_back
    return None, doing


def _in_pass(direction: str, frame: FrameType) -> str:
    """Such as "backward of layer 'conv2' (Convolution)"."""
    here = frame.f_locals
    index = here.get("index")
    if index is None:  # the pass has just begun
        return direction
    node = here["self"].nodes[index]
    return f"{direction} of layer '{node.name}' ({node.param.type})"
