"""Classifier and Detector: pycaffe's scores, crops and windows."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.errors import DataError, NetError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

RNG = np.random.default_rng(0)
NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "flat" type: "Flatten" bottom: "data" top: "scores" }
"""


def flat_net(text: str = NET) -> Any:
    """A net whose scores are its input, value by value."""
    return parse_text(text, pb.NetParameter())


@pytest.fixture
def arrays(goldens: Path) -> Any:
    return np.load(goldens / "pyapi" / "classifier.npz")


@pytest.mark.parametrize("oversample", [True, False])
def test_scores_are_pycaffes(goldens: Path, arrays: Any, oversample: bool, device: str) -> None:
    caffe.use_device(device)
    classifier = caffe.Classifier(
        str(goldens / "pyapi" / "classifier.prototxt"),
        str(goldens / "pyapi" / "classifier.caffemodel"),
        image_dims=(8, 9),
        mean=np.array([0.1, 0.2, 0.3]),
        raw_scale=1.5,
        input_scale=2,
        channel_swap=(2, 1, 0),
    )
    pictures = [arrays[f"img{number}"] for number in range(3)]
    expected = arrays["oversample" if oversample else "center"]
    found = classifier.predict(pictures, oversample=oversample)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_without_image_dims_the_input_is_the_picture() -> None:
    classifier = caffe.Classifier(flat_net(), None)
    pictures = RNG.random((3, 6, 6, 3)).astype(np.float32)
    found = classifier.predict(list(pictures), oversample=False)
    assert np.allclose(found, pictures.transpose(0, 3, 1, 2).reshape(3, -1), atol=1e-6)
    ten = classifier.predict(list(pictures))
    both = (pictures + pictures[:, :, ::-1]) / 2
    assert np.allclose(ten, both.transpose(0, 3, 1, 2).reshape(3, -1), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "dims", "told"),
    [
        (NET, (5, 8), r"image_dims \(5, 8\), smaller than the input \(6, 6\)"),
        (NET.replace("dim: 6 dim: 6", "dim: 6"), None, "pictures"),
        (
            'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }',
            None,
            "pictures",
        ),
    ],
)
def test_nets_that_take_no_pictures_are_refused(text: str, dims: Any, told: str) -> None:
    with pytest.raises(NetError, match=told):
        caffe.Classifier(flat_net(text), None, image_dims=dims)
    with pytest.raises(DataError, match="no pictures"):
        caffe.Classifier(flat_net(), None).predict([])


# --- Detector ----------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 12 x 10."""
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), RNG.integers(0, 256, (12, 10, 3)).astype(np.uint8))
    return path


def test_windows_are_scored_in_order(picture: Path) -> None:
    """Windows come from any iterable, once; pycaffe read it twice."""
    detector = caffe.Detector(flat_net(), None, raw_scale=255)
    windows = [(0, 0, 6, 6), (2, 1, 8, 7), (0, 0, 12, 10)]
    found = detector.detect_windows(iter([(picture, iter(windows)), (picture, [])]))
    image = caffe.io.load_image(picture)
    assert [detection["window"] for detection in found] == windows
    assert {detection["filename"] for detection in found} == {picture}
    for detection, (top, left, bottom, right) in zip(found, windows, strict=True):
        scaled = caffe.io.resize_image(image[top:bottom, left:right], (6, 6)) * 255
        expected = scaled.transpose(2, 0, 1).ravel()
        assert np.allclose(detection["prediction"], expected, atol=1e-3)
    assert detector.detect_windows([]) == []


def test_context_is_cut_out_too(picture: Path) -> None:
    """A window that grows to 6 x 6 pixels, in the picture and at its corner."""
    mean = np.array([0.1, 0.2, 0.3])
    detector = caffe.Detector(
        flat_net(), None, mean=mean, channel_swap=(2, 1, 0), raw_scale=2, context_pad=1
    )
    image = caffe.io.load_image(picture)
    inside = detector.crop(image, (4, 3, 6, 5))  # 3 x 3, centre 5.5, half 2.25: 3 to 8
    assert np.allclose(inside[:5, :5], caffe.io.resize_image(image[3:8, 2:7], (6, 6))[:5, :5])
    corner = detector.crop(image, np.array((0, 0, 2, 2)))  # -1 to 4: a pixel of six lies outside
    assert np.allclose(corner[1:, 1:], caffe.io.resize_image(image[:4, :4], (5, 5)))
    for border in (corner[0], corner[:, 0]):
        assert np.allclose(border, mean[::-1] / 2), "zero once it is preprocessed"
    found = detector.detect_windows([(picture, [(0, 0, 2, 2)])])[0]["prediction"]
    assert np.allclose(found.reshape(3, 6, 6)[:, 0], 0, atol=1e-6)


def test_bad_windows_and_nets_are_refused(picture: Path) -> None:
    for pad in (None, 1):
        detector = caffe.Detector(flat_net(), None, context_pad=pad)
        with pytest.raises(DataError, match="no part of the 12 x 10 picture in window"):
            detector.detect_windows([(picture, [(40, 40, 50, 50)])])
    with pytest.raises(NetError, match="context_pad 3 needs a square input"):
        caffe.Detector(flat_net(), None, context_pad=3)
    with pytest.raises(NetError, match="context_pad 1 needs a square input"):
        caffe.Detector(flat_net(NET.replace("dim: 6 dim: 6", "dim: 6 dim: 7")), None, context_pad=1)
    with pytest.raises(NetError, match="MATLAB"):
        detector.detect_selective_search(["picture.png"])
