"""Labels: float blobs that hold class numbers, and the error for one that names no class."""

from collections.abc import Sequence

import numpy as np

from minicaffe.blob import Blob, SyncedArray
from minicaffe.layer import Layer


def check_labels(
    layer: Layer,
    found: SyncedArray,
    labels: Blob,
    classes: int,
    ignore: int | None = None,
    what: str = "label",
) -> None:
    """Raise LayerError if `found`, as kernels leave it, has the flat index of a bad label."""
    index = int(found.read("cpu")[0])
    if index < 0:
        return
    position = [int(i) for i in np.unravel_index(index, labels.shape)] or [0]
    value = float(labels.data.read("cpu").reshape(-1)[index])
    where = f"sample {position[0]}" + (f" at {tuple(position[1:])}" if any(position[1:]) else "")
    besides = "" if ignore is None else f", or ignore_label {ignore}"
    error = layer.error(f"{what} {value:g} of {where} is not in 0 .. {classes - 1}{besides}")
    error.sample = position[0]
    raise error


def check_one_label_each(layer: Layer, bottom: Sequence[Blob]) -> tuple[int, int]:
    """(samples, values a sample) of bottom 0, after a check that bottom 1 has a label for each."""
    scores, labels = bottom[0], bottom[1]
    if scores.num_axes == 0 or labels.count() != scores.shape[0]:
        raise layer.error(
            f"labels of shape {labels.shape} for bottom 0 of shape {scores.shape}: there must be "
            "one label a sample"
        )
    return scores.shape[0], scores.count(1)


def check_labels_fit(layer: Layer, bottom: Sequence[Blob], class_axis: int) -> tuple[int, int, int]:
    """(outer, classes, inner) of the scores in bottom 0; bottom 1 has outer x inner labels."""
    scores, labels = bottom[0], bottom[1]
    axis = layer.axis(scores, class_axis)
    outer, inner = scores.count(0, axis), scores.count(axis + 1)
    if labels.count() != outer * inner:
        raise layer.error(
            f"{labels.count()} labels for {outer * inner} positions: scores of shape "
            f"{scores.shape} with classes along axis {axis} do not fit labels of shape "
            f"{labels.shape}"
        )
    return outer, scores.shape[axis], inner
