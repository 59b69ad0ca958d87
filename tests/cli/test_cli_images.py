"""The tools of pictures: classify, extract_features, compute_image_mean."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.cli import main
from minicaffe.data.database import create_database, open_database, parse_datum
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_binary, write_binary

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A net with weights, six labels, a mean; the current folder."""
    monkeypatch.chdir(tmp_path)
    caffe.set_random_seed(1)
    Path("net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.save("net.caffemodel")
    Path("labels").write_text("".join(f"class {number}\n" for number in range(6)))
    Path("two").write_text("cat\ndog\n")
    mean = pb.BlobProto(num=1, channels=3, height=1, width=2, data=[10, 20, 30, 50, 0, 4])
    write_binary("mean.binaryproto", mean)
    return net


WORDS = ["classify", "net.prototxt", "net.caffemodel", "mean.binaryproto", "labels"]


def expected_lines(net: Any, pixels: Any, top: int = 5, scale: float = 1) -> list[str]:
    planes = (pixels.transpose(2, 0, 1) - np.float32([15, 40, 2]).reshape(3, 1, 1)) * scale
    net.blobs["data"].data[...] = planes
    scores = net.forward()["prob"][0]
    best = sorted(range(6), key=lambda number: -scores[number])[:top]
    return [f'{scores[number]:.4f} - "class {number}"' for number in best]


def test_classes_are_printed_as_caffe_prints_them(
    model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 2, 3)).astype(np.uint8)
    cv2.imwrite("a.png", pixels)
    cv2.imwrite("large.png", pixels.repeat(2, 0).repeat(2, 1))
    assert main([*WORDS, "a.png", "large.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    wanted = expected_lines(model, pixels)
    assert lines == [
        "---------- Prediction for a.png ----------", *wanted,
        "---------- Prediction for large.png ----------", *wanted,
    ]  # fmt: skip
    words = [*WORDS[:3], "15,40,2", "labels", "a.png", "-scale=0.5", "-top=2"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1:] == expected_lines(model, pixels, 2, 0.5)


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_are_brought_to_the_inputs_colours(
    model: Any, channels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 2, channels)).astype(np.uint8)
    cv2.imwrite("a.png", pixels)
    assert main([*WORDS, "a.png"]) == 0
    seen = pixels.repeat(3, 2) if channels == 1 else pixels[:, :, :3]
    assert capsys.readouterr().out.splitlines()[1:] == expected_lines(model, seen)


def test_colours_are_greyed_for_a_grey_input(model: Any, tmp_path: Path) -> None:
    from minicaffe.cli.classify import channel_means, scores_of

    Path("grey.prototxt").write_text(NET.replace("dim: 3", "dim: 1"))
    net = caffe.Net("grey.prototxt", caffe.TEST)
    cv2.imwrite("a.png", np.full((5, 5, 3), (0, 255, 0), np.uint8))
    scores = scores_of(net, "a.png", channel_means("50", 1))
    assert np.all(net.blobs["data"].data == 150 - 50)
    assert scores.shape == (6,) and scores.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*WORDS, "gone.png"], "cannot read gone.png"),
        ([*WORDS, "labels"], "labels: an encoded picture"),
        ([*WORDS[:3], "1,2", "labels", "a"], "the mean 1,2 has 2 channels, the net's input 3"),
        ([*WORDS[:3], "gone", "labels", "a"], "cannot read mean_file gone"),
        ([*WORDS[:4], "two", "a"], "two has 2 lines, the net scores 6 classes"),
        ([*WORDS[:4], "gone", "a"], "cannot read gone"),
    ],
)
def test_what_cannot_be_classified_is_named(
    model: Any, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NET.replace("dim: 3", "dim: 2"), "has 2 channels, not 1 or 3"),
        (NET.replace('bottom: "ip" top: "prob"', 'bottom: "data" top: "prob"'), "one output"),
    ],
)
def test_nets_that_score_no_pictures_are_refused(
    model: Any, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.prototxt").write_text(text)
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")
    assert main([*WORDS, "a.png"]) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]


# --- extract_features --------------------------------------------------------------------------

FEATURES = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "pictures" backend: LMDB batch_size: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A net on a database of three pictures, and its weights; the current folder."""
    monkeypatch.chdir(tmp_path)
    with create_database("pictures") as records:
        for number in range(3):
            datum = pb.Datum(channels=1, height=1, width=2, label=number)
            datum.data = bytes([number, 10 * number])
            records.put(b"%d" % number, datum.SerializeToString())
    Path("net.prototxt").write_text(FEATURES)
    caffe.set_random_seed(1)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.save("net.caffemodel")
    net.close()
    return net


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_features_are_stored_as_caffe_stores_them(
    features: Any, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["extract_features", "net.caffemodel", "net.prototxt", "ip,label", "a,b", "2", backend]
    assert main([*words, "CPU"]) == 0
    assert capsys.readouterr().out == "a: 4 records\nb: 4 records\n"
    weights = np.array(features.params["ip"][0].data)
    for name, channels in (("a", 4), ("b", 1)):
        with open_database(name, backend) as records:
            assert list(records.keys()) == [b"%010d" % number for number in range(4)]
            for number, (key, value) in enumerate(records.items()):
                datum = parse_datum(value, key, name)
                assert (datum.channels, datum.height, datum.width) == (channels, 1, 1)
                row = weights @ np.float32([number % 3, 10 * (number % 3)])
                expected = row if channels == 4 else [number % 3]
                assert np.allclose(datum.float_data, expected, rtol=1e-4, atol=1e-4)


def test_features_keep_their_shape_so_that_a_net_can_read_them(features: Any) -> None:
    layer = """layer { name: "c" type: "Convolution" bottom: "data" top: "c"
      convolution_param { num_output: 3 pad_h: 2 kernel_size: 1 weight_filler { value: 1 } } }
    layer { name: "five" type: "Reshape" bottom: "c" top: "five"
      reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 dim: 1 } } }"""
    Path("net.prototxt").write_text(FEATURES + layer)
    words = ["extract_features", "net.caffemodel", "net.prototxt"]
    assert main([*words, "c", "f", "2", "lmdb"]) == 0
    data = 'layer { name: "f" type: "Data" top: "f" data_param { source: "f" backend: LMDB'
    Path("next.prototxt").write_text(data + " batch_size: 3 } }")
    read = caffe.Net("next.prototxt", caffe.TEST)
    expected = np.zeros((3, 3, 5, 2), np.float32)
    expected[:, :, 2] = np.float32([[0, 0], [1, 10], [2, 20]])[:, np.newaxis]
    assert np.array_equal(read.forward()["f"], expected)
    assert main([*words, "five", "g", "2", "lmdb"]) == 1
    assert not Path("g").exists()


@pytest.mark.parametrize(
    ("blobs", "databases", "more", "status", "told"),
    [
        ("ip", "a,b", [], 2, "1 blobs and 2 databases"),
        ("ip", "a", ["TPU"], 2, "'TPU': CPU or GPU is expected"),
        ("gone", "a", [], 1, "no blob 'gone' in the net (it has: data, label, ip"),
        ("loss", "a", [], 1, "blob 'loss' is a scalar"),
        ("ip", "pictures", [], 1, "pictures exists already"),
    ],
)
def test_what_cannot_be_extracted_is_told(
    features: Any, blobs: str, databases: str, more: list[str], status: int, told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ["extract_features", "net.caffemodel", "net.prototxt", blobs, databases, "1", "lmdb"]
    assert main([*words, *more]) == status
    assert told in capsys.readouterr().err
    assert not Path("a").exists()


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_means_are_caffes(goldens: Path, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "mean.binaryproto"
    words = [str(goldens / "files" / f"db_{backend}"), str(out), f"-backend={backend}"]
    assert main(["compute_image_mean", *words]) == 0
    name = "mean" if backend == "lmdb" else "mean_from_leveldb"
    caffes = read_binary(goldens / "files" / f"{name}.binaryproto", pb.BlobProto())
    assert read_binary(out, pb.BlobProto()) == caffes
