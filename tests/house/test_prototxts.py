"""The published nets of Caffe and CaffeOnSpark can be built: every blob gets its shape."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import filler
from minicaffe.errors import LayerError
from minicaffe.layer import layer_type_list
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from tests.conftest import SHARED

FOLDER = SHARED / "data" / "prototxt"
BATCH = 2
# (channels, height, width) of what a Data layer reads, by a word of the file's name
RECORDS = {"siamese": (2, 28, 28), "mnist": (1, 28, 28), "lenet": (1, 28, 28), "cifar": (3, 32, 32)}
# what a file needs beyond its phase: its solver sets these stages
STAGES = {
    "mnist_autoencoder": {minicaffe.TEST: ["test-on-train"]},
    "lrcn_cos": {
        minicaffe.TRAIN: ["freeze-convnet", "factored", "2-layer"],
        minicaffe.TEST: ["freeze-convnet", "factored", "2-layer", "test-on-train"],
    },
}
NEEDS_PYTHON = ("pycaffe_linreg",)  # nets with a Python layer of their own module
FEATURES = {"data": 4, "label": 1}  # columns of the HDF5 examples


def nets() -> list[Any]:
    if not (FOLDER / "index.tsv").is_file():
        absent = pytest.mark.skip(reason=f"no prototxts at {FOLDER} (set MINICAFFE_SHARED)")
        return [pytest.param("", id="absent", marks=absent)]
    with (FOLDER / "index.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [row["file"] for row in rows if row["class"] != "solver"]


@pytest.mark.parametrize("name", nets())
@pytest.mark.parametrize("phase", [minicaffe.TRAIN, minicaffe.TEST])
def test_every_blob_gets_a_shape(name: str, phase: int, monkeypatch: pytest.MonkeyPatch) -> None:
    param = read_net(str(FOLDER / name))
    for layer in param.layer:
        feed(layer, name)
    for word, stages in STAGES.items():
        if word in name:
            param.state.stage.extend(stages.get(phase, []))
    if any(word in name for word in NEEDS_PYTHON):
        monkeypatch.delitem(sys.modules, "pyloss", raising=False)  # that of our examples
        with pytest.raises(LayerError, match="no module 'pyloss' on PYTHONPATH"):
            Net(param, phase, device="reference")
        return
    fill_nothing(monkeypatch)
    net = Net(param, phase, device="reference")
    assert net.layers
    known = set(layer_type_list())
    assert {layer.type for layer in net.layers} <= known
    for blob in net.output_blobs:
        assert blob.num_axes == 0 or blob.count() > 0


def fill_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave parameters at zero: filling those of VGG takes longer than building it."""
    for name in list(filler.FILLERS):
        monkeypatch.setitem(filler.FILLERS, name, lambda param, shape: np.float32(0))


def feed(layer: pb.LayerParameter, name: str) -> None:
    """Put an Input of the same tops in the place of a layer that reads files we do not have."""
    shapes = shapes_of(layer, name)
    if shapes is None:
        return
    tops, rules = list(layer.top), list(layer.include)
    stand_in = pb.LayerParameter(name=layer.name, type="Input", top=tops, include=rules)
    for shape in shapes[: len(tops)]:
        stand_in.input_param.shape.add(dim=shape)
    layer.CopyFrom(stand_in)


def shapes_of(layer: pb.LayerParameter, name: str) -> list[tuple[int, ...]] | None:
    crop = layer.transform_param.crop_size
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        size = (crop, crop) if crop else (memory.height, memory.width)
        return [(BATCH, memory.channels, *size), (BATCH,)]
    if layer.type in ("Data", "ImageData", "WindowData"):
        record = next((RECORDS[word] for word in RECORDS if word in name), (3, 227, 227))
        return [(BATCH, record[0], crop or record[1], crop or record[2]), (BATCH,)]
    if layer.type == "HDF5Data":
        return [(BATCH, FEATURES[top]) if top == "data" else (BATCH,) for top in layer.top]
    if layer.type == "CoSData":
        return [cos_shape(top) for top in layer.cos_data_param.top]
    return None


def cos_shape(top: Any) -> tuple[int, ...]:
    """Batch, then as many of (channels, height, width) as the sample has axes."""
    crop = top.transform_param.crop_size
    channels, height, width = top.channels, top.height, top.width
    if crop:
        height = width = crop
    if top.transpose:
        return (channels, BATCH)
    return (BATCH, *(channels, height, width)[: top.sample_num_axes])


def test_the_set_is_whole() -> None:
    """All nets of the index are there: none has been left out of the grid."""
    if not FOLDER.is_dir():
        pytest.skip(f"no prototxts at {FOLDER} (set MINICAFFE_SHARED)")
    files = {str(path.relative_to(FOLDER)) for path in Path(FOLDER).glob("net_*/*.prototxt")}
    assert files == set(nets())
