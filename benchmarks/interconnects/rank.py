"""One rank: goes to its host, calls in at the suite, and does what it is told until that ends.

    python -m benchmarks.interconnects.rank SOCKET [RANK]

mpirun tells its ranks apart by a variable; others are told their number.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from . import netlab  # before NumPy, whose threads would stay in the old namespace

LOG = "log"  # beside the socket: what ranks print


def main() -> None:
    """Work until the line breaks."""
    path = sys.argv[1]
    rank = int(sys.argv[2] if len(sys.argv) > 2 else os.environ["OMPI_COMM_WORLD_RANK"])
    seats = ast.literal_eval(os.environ["SUITE_SEATS"])
    if keeper := seats[rank][0]:
        netlab.enter(keeper)
    from .crew import Seat, Suite, call_in
    from .work import Rank

    suite = Suite(call_in(path, rank))
    threading.Thread(target=end_with, args=(call_in(path, None), path), daemon=True).start()
    worker = Rank(suite, rank, [Seat(*seat) for seat in seats])
    while True:
        try:
            work, arguments = suite.next()
        except (EOFError, OSError):
            leave(0)
        try:
            suite.say("done", getattr(worker, work)(*arguments))
        except Exception:
            suite.say("failed", traceback.format_exc())


def end_with(watch: Connection, path: str) -> None:
    """End this process when the suite has, whatever its main thread is doing.

    A suite that was killed has left its folder behind: the socket and the ranks' log.
    """
    try:
        watch.recv()
    except (EOFError, OSError):
        folder = Path(path).parent
        for remove in (Path(path).unlink, (folder / LOG).unlink, folder.rmdir):
            with suppress(OSError):
                remove()
        leave(1)


def leave(status: int) -> NoReturn:
    """At once: threads of Gloo and MPI may outlive an orderly end."""
    os._exit(status)


if __name__ == "__main__":
    main()
