"""minicaffe: Caffe and CaffeOnSpark in Python, so that every piece can be read.

`import minicaffe as caffe` serves scripts written for pycaffe. Names are loaded when they are
first used, so that the import itself stays light.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from .aliases import AliasFinder

__version__ = "0.1.0"

# In a checkout the rooms stand beside this folder; as packages they are installed inside it.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.py").is_file():
    __path__.append(str(_root))

if os.environ.get("MINICAFFE_PATH"):
    from .overlay import install

    install(__path__)

sys.meta_path.insert(0, AliasFinder())

TRAIN = 0
TEST = 1

# name -> module that defines it
_DOORS = {
    "AdaDeltaSolver": "pycaffe.solver",
    "AdaGradSolver": "pycaffe.solver",
    "AdamSolver": "pycaffe.solver",
    "Classifier": "pycaffe.classifier",
    "Detector": "pycaffe.detector",
    "Error": "errors",
    "Layer": "layer",
    "LossLayer": "layer",
    "Net": "pycaffe.net",
    "NetSpec": "pycaffe.net_spec",
    "NCCL": "pycaffe.process",
    "NesterovSolver": "pycaffe.solver",
    "RMSPropSolver": "pycaffe.solver",
    "SGDSolver": "pycaffe.solver",
    "Timer": "pycaffe.process",
    "get_solver": "pycaffe.solver",
    "has_nccl": "pycaffe.process",
    "init_log": "pycaffe.process",
    "install_as_caffe": "aliases",
    "layer_type_list": "layer",
    "log": "pycaffe.process",
    "num_threads": "machine.threads",
    "set_device": "pycaffe.mode",
    "set_mode_cpu": "pycaffe.mode",
    "set_mode_gpu": "pycaffe.mode",
    "set_multiprocess": "pycaffe.process",
    "set_num_threads": "machine.threads",
    "set_precision": "pycaffe.mode",
    "set_random_seed": "context",
    "set_solver_count": "pycaffe.process",
    "set_solver_rank": "pycaffe.process",
    "solver_count": "pycaffe.process",
    "solver_rank": "pycaffe.process",
    "to_proto": "pycaffe.net_spec",
    "use_device": "pycaffe.mode",
}

# modules that pycaffe scripts reach as attributes
_MODULES = (
    "_caffe", "classifier", "coord_map", "detector", "draw", "io", "layers", "net_spec", "params",
    "proto",
)  # fmt: skip

__all__ = ["TEST", "TRAIN", "__version__", *_DOORS]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(importlib.import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'minicaffe' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_DOORS])
