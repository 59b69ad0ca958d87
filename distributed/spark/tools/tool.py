"""What the tools have in common: options, the command line, the door to them by name."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from minicaffe.errors import ClusterError, did_you_mean
from minicaffe.layer import is_file_of

from ..config import Config
from ..forward_report import left_out, tell
from ..options import OPTIONS
from ..output import check_format, check_output
from ..session import hadoop_place, session_of
from ..slots import count_slots
from ..spark_job import run_job

log = logging.getLogger("minicaffe.spark")


class Tool(ABC):
    """A program that makes a data set: `Binary2DataFrame(sc, conf).run()`.

    An implementer of `ToolName` in `tools/tool_name.py` says which options it needs and which it
    knows besides, and defines `run`, which writes what conf.outputPath names. Its docstring is the
    help of the command line. Raises ClusterError for an option that is missing.
    """

    needs: ClassVar[tuple[str, ...]]
    knows: ClassVar[tuple[str, ...]] = ()

    def __init__(self, sc: Any, conf: Config) -> None:
        self.session = session_of(sc)
        self.sc = self.session.sparkContext
        self.conf = conf
        conf.sc = self.sc
        self.bad = left_out(self.sc)
        for name in self.needs:
            if name != "output" and not getattr(conf, OPTIONS[name].attribute):
                raise ClusterError(f"{type(self).__name__} needs -{name}: {OPTIONS[name].help}")

    @abstractmethod
    def run(self) -> None:
        """Make the data set."""

    @property
    def parts(self) -> int:
        """Into how many parts the work goes: at least one a slot."""
        return max(self.conf.lmdb_partitions, count_slots(self.sc))

    def write(self, action: Callable[[], None], what: str) -> None:
        """Write -output by an action of Spark; tell what could not be read. Raises ClusterError."""
        name = type(self).__name__
        run_job(self.sc, f"minicaffe {name}", f"{name}: {what}", action, self.conf.debug)
        tell(self.bad.value, "pictures")

    def write_frame(self, frame: Any, path: str, form: str = "") -> None:
        """Write a DataFrame in -outputFormat, or a given one, to a path that is new."""
        writer = frame.write.format(form or self.conf.outputFormat)
        place = str(hadoop_place(self.sc, path)[0])
        self.write(functools.partial(writer.save, place), f"write {path}")

    def write_sequence(self, rows: Any) -> None:
        """Write an RDD of keys and values, both bytearrays, to -output, as a SequenceFile."""
        check_output(self.conf)
        place = str(hadoop_place(self.sc, self.conf.outputPath)[0])
        save = functools.partial(rows.saveAsSequenceFile, place)
        self.write(save, f"write {self.conf.outputPath}")

    def check_frame(self) -> None:
        """Refuse an -output that exists, or an -outputFormat that cannot hold the data."""
        check_output(self.conf)
        check_format(self.conf)


def known_tools() -> Mapping[str, str]:
    """The names of the tools, and the modules that hold them."""
    package = importlib.import_module(__package__)
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{__package__}.{info.name}")
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, Tool) and is_file_of(info.name, name):
                found[name] = info.name
    found.pop(Tool.__name__)
    return found


def open_tool(name: str) -> type[Tool]:
    """The tool of a name, whose last word counts (`com.yahoo.ml.caffe.tools.Binary2Sequence`)."""
    known, word = known_tools(), name.rpartition(".")[2]
    if word not in known:
        near = did_you_mean(word, known) or f" (there are: {', '.join(sorted(known))})"
        raise ClusterError(f"there is no tool '{word}'{near}")
    found: type[Tool] = getattr(importlib.import_module(f"{__package__}.{known[word]}"), word)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run `TOOL -option VALUE ...` (default sys.argv) and return its exit status."""
    from ..submit import program

    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0].startswith("-"):
        print(_overview())
        return 0 if args else 1
    try:
        tool = open_tool(args[0])
    except ClusterError as error:
        print(f"minicaffe: error: {error}", file=sys.stderr)
        return 1
    return program(args[1:], _usage(tool), lambda sc, conf: tool(sc, conf).run())


def _usage(tool: type[Tool]) -> str:
    lines = [f"  -{name:<18} {OPTIONS[name].help}" for name in (*tool.needs, *tool.knows)]
    return "\n".join([f"{tool.__name__}: {inspect.getdoc(tool)}", "", "Options:", *lines])


def _overview() -> str:
    names = {name: open_tool(name).__doc__ or "" for name in sorted(known_tools())}
    return "\n".join(
        ["TOOL -option VALUE ...; of each tool: TOOL -help", ""]
        + [f"  {name:<22} {text.partition(chr(10))[0]}" for name, text in names.items()]
    )
