"""What a summed loss is divided by: `loss_param { normalization: ... }`."""

from typing import Any

from minicaffe.proto import minicaffe_pb2 as pb

FULL, VALID, BATCH_SIZE = (
    int(pb.LossParameter.NormalizationMode.Value(name)) for name in ("FULL", "VALID", "BATCH_SIZE")
)


def read_normalization(param: Any, default: int) -> int:
    """The mode that a LossParameter asks for.

    `normalization` wins over the old `normalize` (true: VALID, false: BATCH_SIZE); without both it
    is `default`.
    """
    if param.HasField("normalization"):
        return int(param.normalization)
    if param.HasField("normalize"):
        return VALID if param.normalize else BATCH_SIZE
    return default


def divisor(mode: int, outer: int, inner: int) -> int:
    """The divisor, at least 1, for `outer` images of `inner` outputs; 0 for those that count."""
    if mode == VALID:
        return 0
    return max(1, {FULL: outer * inner, BATCH_SIZE: outer}.get(mode, 1))
