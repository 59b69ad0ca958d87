"""minicaffe: Caffe and CaffeOnSpark in Python, so that every piece can be read.

`import minicaffe as caffe` serves scripts written for pycaffe. Names are loaded when they are
first used, so that the import itself stays light.
"""

import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# In a checkout the rooms stand beside this folder; as packages they are installed inside it.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.py").is_file():
    __path__.append(str(_root))

TRAIN = 0
TEST = 1

# name -> module that defines it
_DOORS = {
    "AdaDeltaSolver": "pycaffe",
    "AdaGradSolver": "pycaffe",
    "AdamSolver": "pycaffe",
    "Classifier": "classifier",
    "Detector": "detector",
    "Error": "errors",
    "Layer": "layer",
    "LossLayer": "layer",
    "Net": "pycaffe",
    "NetSpec": "net_spec",
    "NesterovSolver": "pycaffe",
    "RMSPropSolver": "pycaffe",
    "SGDSolver": "pycaffe",
    "Timer": "pycaffe",
    "get_solver": "pycaffe",
    "has_nccl": "pycaffe",
    "init_log": "pycaffe",
    "install_as_caffe": "caffe_name",
    "layer_type_list": "layer",
    "log": "pycaffe",
    "num_threads": "threads",
    "set_device": "pycaffe",
    "set_mode_cpu": "pycaffe",
    "set_mode_gpu": "pycaffe",
    "set_multiprocess": "pycaffe",
    "set_num_threads": "threads",
    "set_random_seed": "context",
    "set_solver_count": "pycaffe",
    "set_solver_rank": "pycaffe",
    "solver_count": "pycaffe",
    "solver_rank": "pycaffe",
    "to_proto": "net_spec",
    "use_device": "pycaffe",
}

# modules that pycaffe scripts reach as attributes
_MODULES = (
    "classifier", "coord_map", "detector", "draw", "io", "layers", "net_spec", "params", "proto",
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
