"""Config: the settings of CaffeOnSpark, under the ancestor's names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from minicaffe.errors import ClusterError, did_you_mean
from minicaffe.proto import minicaffe_pb2 as pb

from ..sync import DEFAULT
from . import portable
from .options import SETTABLE, checked, parse
from .session import context_of

LAST = ("isTest", "features")  # of what a command line says: they exclude each other


class Config:
    """What to do with which net: `Config(sc, ["-conf", "lenet_solver.prototxt", "-train"])`.

    `args` is a command line as a list, or a dict of the same names, with or without dashes, in
    which a switch is on unless its value says no. Every option is also an attribute (see OPTIONS
    of options.py) that may be set later. Raises ClusterError for the name of an option or a value
    that it does not know, AttributeError for such an attribute.
    """

    log = logging.getLogger("minicaffe.spark")
    lmdb_partitions: int  # 0, which cannot be given: as many as there are slots

    def __init__(
        self, sc: Any = None, args: Sequence[str] | Mapping[str, Any] | None = None
    ) -> None:
        self.sc = context_of(sc)
        self._test = self._feature = False
        self._features: list[str] = []
        self._output = ""
        self._loaded: tuple[str, portable.LoadedSolver] | None = None
        self.protoFile = ""
        self.isTraining = False
        self.label = "label" if args is None else ""
        self.outputFormat = "json"
        self.modelPath = ""
        self.devices = 1
        self.device = "cpu"
        self.precision = "float32"
        self.isRddPersistent = False
        self.snapshotStateFile = self.snapshotModelFile = ""
        self.connection = "ethernet"
        self.sync = DEFAULT
        self.bucket = self.compress = ""
        self.ringMac = self.ringCrc = False
        self.resize = False
        self.clusterSize = 1
        object.__setattr__(self, "lmdb_partitions", 0)
        self.store = ""
        self.transform_thread_per_device = 1
        self.wait, self.timeout = 60, 10
        self.minRanks = 0  # as many as clusterSize
        self.maxRestarts = 4
        self.sigint_effect = self.on_nan = "stop"
        self.ports = ""
        self.resume = False
        self.debug = False
        self.imageRoot = self.labelFile = self.captionFile = ""
        self.captionLength = 20
        self.vocabSize = -1
        self.imageCaptionDFDir = self.vocabDir = self.embeddingDFDir = ""
        values = parse(args or [])
        for name in sorted(values, key=lambda name: LAST.index(name) if name in LAST else -1):
            setattr(self, name, values[name])

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what is no option, and values that it cannot have."""
        if name in SETTABLE:
            value = checked(name, value)
        elif hasattr(type(self), name):
            raise AttributeError(f"Config.{name} cannot be set: it follows from the other settings")
        elif not name.startswith("_") and name != "sc":
            raise AttributeError(f"Config has no option '{name}'{did_you_mean(name, SETTABLE)}")
        super().__setattr__(name, value)

    # --- settings with a rule ----------------------------------------------------------------

    @property
    def isTest(self) -> bool:
        """Whether to test. Excludes isFeature: what is set last holds."""
        return self._test

    @isTest.setter
    def isTest(self, value: bool) -> None:
        if value and self._feature:
            self.log.warning("both -test and -features are given: only -test is done, it came last")
            self._feature = False
        self._test = value

    @property
    def isFeature(self) -> bool:
        """Whether to extract features: set with them. Excludes isTest."""
        return self._feature

    @isFeature.setter
    def isFeature(self, value: bool) -> None:
        if value and self._test:
            self.log.warning(
                "both -test and -features are given: only -features is done, it came last"
            )
            self._test = False
        self._feature = value

    @property
    def features(self) -> list[str]:
        """The blobs to extract; the label's blob joins them."""
        if self._features and self.label and self.label not in self._features:
            return [*self._features, self.label]
        return list(self._features)

    @features.setter
    def features(self, names: list[str]) -> None:
        self._features = names
        self.isFeature = bool(names)

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

    # --- what the prototxts say --------------------------------------------------------------

    @property
    def solverParameter(self) -> pb.SolverParameter:
        """The solver, with its nets in it, as its files now are. Raises ParseError, ClusterError.

        What is changed in it holds until a file is changed.
        """
        if not self.protoFile:
            raise ClusterError("no solver prototxt is given: -conf FILE")
        if self._loaded is None or self._loaded[0] != self.protoFile or self._loaded[1].stale():
            self._loaded = (self.protoFile, portable.load_solver(self.protoFile, self.sc))
        return self._loaded[1].solver

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

    def data_layer(self, phase: int) -> pb.LayerParameter:
        """The layer that feeds training, or tests and features. Raises ClusterError for none.

        What is changed in it is changed in what is trained or tested.
        """
        solver, index = self.solverParameter, self._data_layer_id(phase)
        if phase == pb.TRAIN and solver.HasField("train_net_param"):
            return solver.train_net_param.layer[index]
        if phase == pb.TEST and solver.test_net_param:
            return solver.test_net_param[0].layer[index]
        return solver.net_param.layer[index]

    def _data_layer_id(self, phase: int) -> int:
        used = portable.train_net if phase == pb.TRAIN else portable.test_net
        found = used(self.solverParameter)
        index = portable.data_layer(found, phase)
        numbered = pb.SolverParameter()
        numbered.CopyFrom(self.solverParameter)
        for net in portable.nets_of(numbered):
            for number, layer in enumerate(net.layer):
                layer.name = str(number)
        return int(used(numbered).layer[index].name)

    def __repr__(self) -> str:
        """The options and their values."""
        return "\n".join(f"{name}: {getattr(self, name)}" for name in sorted(SETTABLE))
