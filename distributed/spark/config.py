"""Config: CaffeOnSpark's command line and its settings, under the ancestor's names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from minicaffe.errors import ClusterError
from minicaffe.net.graph import filter_net
from minicaffe.proto import minicaffe_pb2 as pb

from ..transport import known_schemes
from . import portable

log = logging.getLogger("minicaffe.spark")

# Words of -connection for transports; each other word is the scheme of one (distributed/transport).
CONNECTIONS = {"ethernet": "tcp", "infiniband": "rdma", "rdma": "rdma"}

SWITCHED_OFF = (None, False, "false", "False", "no", "0", 0)


@dataclass(frozen=True)
class Option:
    """A flag of the command line, and the attribute of Config that it sets."""

    attribute: str
    kind: Literal["text", "number", "switch", "words"]
    help: str


OPTIONS = {
    "conf": Option("protoFile", "text", "the solver's prototxt"),
    "train": Option("isTraining", "switch", "train, and write -model"),
    "test": Option("isTest", "switch", "write the mean of every output of the TEST net to -output"),
    "features": Option("features", "words", "blobs, by ',': write their values to -output"),
    "label": Option("label", "text", "the label's blob, which joins the -features"),
    "outputFormat": Option("outputFormat", "text", "of -features: json (default), parquet, ..."),
    "model": Option("modelPath", "text", "the .caffemodel[.h5] to write (-train) or to read"),
    "output": Option("outputPath", "text", "where -test or -features write; must not exist yet"),
    "devices": Option("devices", "number", "devices a rank (1)"),
    "device": Option("device", "text", "with whose kernels: cpu (default), reference, ..."),
    "persistent": Option("isRddPersistent", "switch", "for CaffeOnSpark's sake, without effect"),
    "snapshot": Option("snapshotStateFile", "text", "the .solverstate[.h5] to go on from"),
    "weights": Option("snapshotModelFile", "text", "the .caffemodel[.h5] to start from"),
    "connection": Option(
        "connection", "text", "between the ranks: ethernet (default), or a transport"
    ),
    "resize": Option("resize", "switch", "scale pictures to the data layer's height x width"),
    "clusterSize": Option("clusterSize", "number", "how many ranks train (1)"),
    "lmdb_partitions": Option("lmdb_partitions", "number", "tasks of -test and -features"),
    "debug": Option("debug", "switch", "show tracebacks and Spark's log"),
}


class Config:
    """What to do with which net: `Config(sc, ["-conf", "lenet_solver.prototxt", "-train"])`.

    `args` is a command line as a list, or a dict of the same names, with or without dashes, in
    which a switch is on unless its value says no. Every option is also an attribute (see OPTIONS)
    that may be set later. Raises ClusterError for a name or a value that it does not know.
    """

    def __init__(
        self, sc: Any = None, args: Sequence[str] | Mapping[str, Any] | None = None
    ) -> None:
        self.sc = getattr(sc, "sparkContext", sc)
        self.protoFile = ""
        self.isTraining = False
        self.label = "label" if args is None else ""
        self.outputFormat = "json"
        self.modelPath = ""
        self.devices = 1
        self.device = "cpu"
        self.isRddPersistent = False
        self.snapshotStateFile = ""
        self.snapshotModelFile = ""
        self.resize = False
        self.clusterSize = 1
        self.transform_thread_per_device = 1
        self.debug = False
        self._test = False
        self._features: list[str] = []
        self._output = ""
        self._connection = "ethernet"
        self._lmdb_partitions = 0
        self._solver: tuple[str, pb.SolverParameter] | None = None
        values = parse(args or [])
        for name in sorted(values, key=lambda name: name == "features"):  # after test and label
            setattr(self, OPTIONS[name].attribute, values[name])

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse names that are no option, which Python would otherwise take without a word."""
        if not name.startswith("_") and name != "sc" and name not in ATTRIBUTES:
            known = ", ".join(sorted(ATTRIBUTES))
            raise AttributeError(f"Config has no option '{name}' (it has: {known})")
        super().__setattr__(name, value)

    # --- settings with a rule ----------------------------------------------------------------

    @property
    def isTest(self) -> bool:
        """Whether to test. Excludes features: what is set last holds."""
        return self._test

    @isTest.setter
    def isTest(self, value: bool) -> None:
        if value and self._features:
            log.warning("both -test and -features are given: only -test is done, it came last")
            self._features = []
        self._test = value

    @property
    def features(self) -> list[str]:
        """The blobs to extract; the label's blob joins them. Excludes isTest."""
        if self._features and self.label and self.label not in self._features:
            return [*self._features, self.label]
        return list(self._features)

    @features.setter
    def features(self, value: str | Sequence[str]) -> None:
        names = value.split(",") if isinstance(value, str) else value
        names = [name.strip() for name in names if name.strip()]
        if names and self._test:
            log.warning("both -test and -features are given: only -features is done, it came last")
            self._test = False
        self._features = list(dict.fromkeys(names))

    @property
    def isFeature(self) -> bool:
        """Whether there are blobs to extract."""
        return bool(self._features)

    @property
    def outputPath(self) -> str:
        """Where -test or -features write; a `file:` URL without slashes begins in this folder."""
        return self._output

    @outputPath.setter
    def outputPath(self, path: str) -> None:
        scheme, colon, rest = path.partition(":")
        if colon and scheme.lower() == "file" and not rest.startswith("/"):
            path = f"file:{os.path.abspath(rest)}"  # Hadoop takes no relative ones
        self._output = path

    @property
    def connection(self) -> str:
        """How the ranks talk to each other: a word of CONNECTIONS, or a transport's scheme."""
        return self._connection

    @connection.setter
    def connection(self, word: str) -> None:
        known = list(dict.fromkeys([*CONNECTIONS, *known_schemes()]))
        if word.lower() not in known:
            near = get_close_matches(word.lower(), known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ClusterError(
                f"-connection {word}: there is no such connection ({hint}known: {', '.join(known)})"
            )
        self._connection = word.lower()

    @property
    def lmdb_partitions(self) -> int:
        """How many tasks share the samples of test and features; as many as ranks by default."""
        return self._lmdb_partitions or self.clusterSize

    @lmdb_partitions.setter
    def lmdb_partitions(self, count: int) -> None:
        self._lmdb_partitions = count

    # --- what the prototxts say --------------------------------------------------------------

    @property
    def solverParameter(self) -> pb.SolverParameter:
        """The solver, with its nets in it. Raises ParseError and ClusterError."""
        if not self.protoFile:
            raise ClusterError("no solver prototxt is given: -conf FILE")
        if self._solver is None or self._solver[0] != self.protoFile:
            self._solver = (self.protoFile, portable.load_solver(self.protoFile))
        return self._solver[1]

    @property
    def netParam(self) -> pb.NetParameter:
        """The net's definition, all phases together."""
        return next(portable.nets_of(self.solverParameter))

    @property
    def train_data_layer_id(self) -> int:
        """The index in `netParam` of the layer that feeds training."""
        return self._data_layer_id(pb.TRAIN)

    @property
    def test_data_layer_id(self) -> int:
        """The index in `netParam` of the layer that feeds tests and features."""
        return self._data_layer_id(pb.TEST)

    def _data_layer_id(self, phase: int) -> int:
        param = pb.NetParameter()
        param.CopyFrom(self.netParam)
        param.state.phase = phase  # type: ignore[assignment]
        for index, layer in enumerate(param.layer):
            layer.name = str(index)
        kept = filter_net(param)
        return int(kept.layer[portable.data_layer(kept, phase)].name)

    def __repr__(self) -> str:
        """The options and their values."""
        return "\n".join(f"{name}: {getattr(self, name)}" for name in sorted(ATTRIBUTES))


ATTRIBUTES = {
    *(option.attribute for option in OPTIONS.values()),
    "transform_thread_per_device",
}


def parse(args: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """The values of the options in `args`, by their names without dash. Raises ClusterError."""
    if isinstance(args, Mapping):
        return {
            name: _value(name, given)
            for name, given in ((_known(str(key)), value) for key, value in args.items())
        }
    values: dict[str, Any] = {}
    words = iter(args)
    for word in words:
        if not word.startswith("-"):
            raise ClusterError(f"'{word}': an option is expected here, and they begin with a dash")
        name, equals, given = word.partition("=")
        name = _known(name)
        if OPTIONS[name].kind == "switch":
            values[name] = _value(name, given if equals else True)
        else:
            value = given if equals else next(words, None)
            if value is None:
                raise ClusterError(f"-{name} needs a value: {OPTIONS[name].help}")
            values[name] = _value(name, value)
    return values


def _known(word: str) -> str:
    name = word.lstrip("-")
    if name not in OPTIONS:
        near = get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean -{near[0]}?" if near else f"known: {', '.join(OPTIONS)}"
        raise ClusterError(f"there is no option -{name} ({hint})")
    return name


def _value(name: str, given: Any) -> Any:
    kind = OPTIONS[name].kind
    if kind == "switch":
        return given not in SWITCHED_OFF
    if kind == "number":
        try:
            number = int(given)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            raise ClusterError(f"-{name} {given}: a whole number above 0 is expected")
        return number
    return given if kind == "words" else str(given)
