"""The command `minicaffe`: one file of this folder a subcommand, found by its name.

    minicaffe train -solver solver.prototxt      Caffe's flags, with one dash or two
    minicaffe convert mnist IMAGES LABELS DB     one file of convert/ a converter

A subcommand is a module with a docstring (its help), `configure(parser)` and `run(args)`, which
returns the exit status or nothing. It imports what is heavy inside `run`.

Exit status: 0, or 1 with one line on standard error for what went wrong, or 2 for wrong usage, or
130 when interrupted, or 128 and the number of the signal that ended it.
`--debug` (or MINICAFFE_DEBUG=1) shows the traceback instead of the line.
"""

import os
import sys
from collections.abc import Sequence

from ..errors import Error
from ..machine.signals import Ended, enable_faulthandler, ending
from ..monitor.glog import glog
from ._commands import UsageError, dispatch
from ._glog_flags import take_log_flags

INTERRUPTED = 130
NOTES = (
    "--debug shows the traceback of an error, --version the version. Flags of glog and gflags are"
    "\ntaken too: -minloglevel, -log_dir, -logtostderr, -flagfile ..."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (default sys.argv) and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)  # behind it: another program's
    words, passed_on = words[:end], words[end:]
    debug = "--debug" in words or bool(os.environ.get("MINICAFFE_DEBUG"))
    words = [word for word in words if word != "--debug"]
    enable_faulthandler()
    try:
        words, how = take_log_flags(words)
        with glog(how), ending():
            status = _run([*words, *passed_on])
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"{error.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if debug:
            raise
        return INTERRUPTED
    except Ended as signal:
        print(f"minicaffe: {signal}", file=sys.stderr)
        return signal.status
    except BrokenPipeError:
        # Whoever read our output has gone: say nothing, and let the interpreter's flush succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        said = _sentence(error)
        if debug or said is None:
            error.__suppress_context__ = False  # a kernel's error has Numba's own behind it
            raise
        print(f"minicaffe: error: {said}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str | None:
    """What to say of an error: its message, or the note of what failed in a user's layer."""
    if isinstance(error, Error | OSError):
        return str(error)
    notes = getattr(error, "__notes__", ())
    return next((note for note in notes if note.startswith("layer '")), None)


def _run(words: list[str]) -> int:
    if words and words[0] in ("-version", "--version"):
        from .. import __version__

        print(f"minicaffe {__version__}")
        return 0
    return dispatch("minicaffe.cli", "minicaffe", words, NOTES)
