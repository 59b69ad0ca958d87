"""pycaffe's face: what scripts written for pycaffe find behind `import minicaffe as caffe`."""

from .blob import ArrayBlob
from .mode import set_device, set_mode_cpu, set_mode_gpu, use_device
from .net import Net
from .solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "ArrayBlob",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "use_device",
]
