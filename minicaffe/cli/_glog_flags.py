"""glog's and gflags' flags, which every program of Caffe takes, as scripts have them.

    minicaffe train -solver s.prototxt -log_dir log -minloglevel 1

-minloglevel, -logtostderr, -alsologtostderr, -stderrthreshold and -log_dir say what is logged
where, -flagfile names files of further flags. The others are taken and change nothing.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..monitor.glog import Logging
from ._commands import FALSE, TRUE, UsageError

SWITCHES = frozenset(
    ("logtostderr", "alsologtostderr", "colorlogtostderr", "log_prefix", "log_utc_time",
     "timestamp_in_logfile_name", "stop_logging_if_full_disk", "symbolize_stacktrace",
     "drop_log_memory")
)  # fmt: skip
NUMBERS = frozenset(
    ("minloglevel", "stderrthreshold", "v", "logbuflevel", "logbufsecs", "max_log_size",
     "logfile_mode", "logcleansecs")
)  # fmt: skip
TEXTS = frozenset(
    ("log_dir", "log_link", "vmodule", "log_backtrace_at", "logmailer", "alsologtoemail")
)
DEPTH = 10  # flag files that name flag files

Values = dict[str, str]


def take_log_flags(words: Iterable[str]) -> tuple[list[str], Logging]:
    """The words that are not glog's, and what those ask for. Raises UsageError."""
    rest: list[str] = []
    values: Values = {}
    ahead = iter(_with_files(words, 0))
    for word in ahead:
        found = re.fullmatch(r"--?(\w+)(?:=(.*))?", word, re.DOTALL)
        name, value = (found[1], found[2]) if found else ("", None)
        if name in SWITCHES or name.removeprefix("no") in SWITCHES:
            on = name in SWITCHES
            name = name if on else name.removeprefix("no")
            values[name] = _truth(name, value) if value is not None else "1" if on else ""
        elif name in NUMBERS | TEXTS:
            values[name] = _value(name, value, ahead)
        else:
            rest.append(word)
    return rest, Logging(
        level=int(values["minloglevel"]) if "minloglevel" in values else None,
        folder="" if values.get("logtostderr") else values.get("log_dir", ""),
        stderr_level=_stderr_level(values),
    )


def _stderr_level(values: Values) -> int:
    """The least level that standard error shows: Caffe's tools show all, unless told otherwise."""
    if values.get("logtostderr") or values.get("alsologtostderr", "1"):
        return 0
    return int(values.get("stderrthreshold", "2"))


def _truth(name: str, value: str) -> str:
    if value.lower() not in TRUE + FALSE:
        raise UsageError("minicaffe", f"-{name}={value}: true or false is expected")
    return "1" if value.lower() in TRUE else ""


def _value(name: str, value: str | None, ahead: Iterator[str]) -> str:
    if value is None:
        value = next(ahead, None)
    if value is None:
        raise UsageError("minicaffe", f"-{name}: a value is expected")
    if name in NUMBERS and not re.fullmatch(r"-?\d{1,9}", value):
        raise UsageError("minicaffe", f"-{name}={value}: a whole number is expected")
    return value


def _with_files(words: Iterable[str], depth: int) -> Iterator[str]:
    """The words, flag files replaced by what is in them: a flag a line, or a comment after '#'."""
    ahead = iter(words)
    for word in ahead:
        found = re.fullmatch(r"--?flagfile(?:=(.*))?", word)
        if not found:
            yield word
            continue
        names = found[1] if found[1] is not None else next(ahead, "")
        for name in names.split(","):
            yield from _with_files(_flags_of(name, depth), depth + 1)


def _flags_of(name: str, depth: int) -> Iterator[str]:
    if not name or depth == DEPTH:
        why = f"{name}: more than {DEPTH} files name each other" if name else "a file is expected"
        raise UsageError("minicaffe", f"-flagfile: {why}")
    lines = Path(name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if not line.startswith("-"):
            raise UsageError("minicaffe", f"{name}:{number}: a flag is expected, not '{line}'")
        yield line
