"""pycaffe's face: what scripts written for pycaffe find behind `import minicaffe as caffe`.

`caffe.pycaffe.Net` is `caffe.Net`, as in pycaffe, whose module of this name makes them.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("minicaffe"), name)
