"""Runs a command of the set-up so that it is seen to go on: `python3 narrate.py COMMAND...`.

Every few seconds a line has what the command said last, and for how long it has been at work; on a
terminal that line is redrawn. Of a command that fails, all that it said is shown, and its exit
status is this one's. With `--shows-itself` in front the command has the terminal for its own
progress bars. Nothing but Python is needed: it runs before anything is installed.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence

EVERY = 4.0  # seconds between two lines
REDRAWN = 1.0  # between two looks of one on a terminal
WIDTH = 100  # of what a command said
INTERRUPTED = 130


def run(command: Sequence[str]) -> int:
    """Run a command, and tell what it does; its exit status."""
    terminal = sys.stdout.isatty()
    began, said = time.monotonic(), [""]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        listener = threading.Thread(target=_listen, args=(process.stdout, said), daemon=True)
        listener.start()
        while process.poll() is None:
            try:
                process.wait(REDRAWN if terminal else EVERY)
            except subprocess.TimeoutExpired:
                _tell(said[-1].strip(), time.monotonic() - began, terminal)
        listener.join()
    if terminal:
        print("\r\x1b[K", end="", flush=True)
    if process.returncode:
        print("".join(said), end="", file=sys.stderr)
    return process.returncode


def _listen(stream: Iterable[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)


def _tell(last: str, seconds: float, terminal: bool) -> None:
    short = last if len(last) <= WIDTH else f"{last[:WIDTH]}..."
    line = f"[set-up]   {short}{', ' if short else ''}{seconds:.0f} s so far"
    print(f"\r\x1b[K{line[:79]}" if terminal else line, end="" if terminal else "\n", flush=True)


def main(command: Sequence[str]) -> int:
    """Run what the command line says."""
    try:
        if command[0] == "--shows-itself":
            if sys.stdout.isatty():
                return subprocess.call(command[1:])
            command = command[1:]
        return run(command)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
