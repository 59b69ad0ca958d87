"""repair/in_place.prototxt: what backward gives is the slope of what forward computes."""

from pathlib import Path

import numpy as np

from minicaffe.labs.first.tests.repaired import build
from minicaffe.labs.plugin import close, gradient


def test_it_is_repaired(lab_folder: Path, rng: np.random.Generator) -> None:
    net = build(lab_folder, "in_place")
    data = net.blob_dict["data"]
    data.data[...] = rng.uniform(-2, 2, data.shape)
    (total,) = net.output_blobs
    net.forward_pass()
    total.diff[...] = 1
    net.backward_pass()
    squashed = 1 / (1 + np.exp(-np.float64(data.data)))
    close("sum", total.data, (3 * squashed - 1).sum(axis=1), "3 sigmoid(data) - 1, summed by rows")
    slope = 3 * squashed * (1 - squashed)
    case = "a layer overwrites what the one above needs: minicaffe summary warns of it"
    gradient("the gradient of data", data.diff, slope, case)
