"""The enums of the parameter messages: `from caffe import params as P`, `P.Pooling.MAX`."""

from typing import Any

from . import net_spec


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(net_spec.params, name)
