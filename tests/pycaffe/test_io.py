"""pycaffe's io: messages, pictures, resizing, crops, and the Transformer."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.errors import DataError, ParseError
from minicaffe.proto import minicaffe_pb2 as pb

RNG = np.random.default_rng(0)


# --- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 2), (1, 2, 3, 4, 5)])
def test_arrays_go_through_blobprotos(shape: tuple[int, ...]) -> None:
    values, diff = RNG.random((2, *shape)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(values, diff)
    assert np.array_equal(caffe.io.blobproto_to_array(blob), values)
    assert np.array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), diff)
    string = caffe.io.arraylist_to_blobprotovector_str([values, diff])
    back = caffe.io.blobprotovector_str_to_arraylist(string)
    assert [np.array_equal(*pair) for pair in zip(back, (values, diff), strict=True)] == [True] * 2


def test_old_and_double_blobprotos_are_read(goldens: Path) -> None:
    old = pb.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 1, 3)
    for name in ("blob_double", "blob_shape_diff"):
        blob = pb.BlobProto()
        blob.ParseFromString((goldens / "files" / f"{name}.binaryproto").read_bytes())
        assert caffe.io.blobproto_to_array(blob).size > 0


def test_what_is_no_blob_is_refused() -> None:
    with pytest.raises(DataError, match="no BlobProtoVector"):
        caffe.io.blobprotovector_str_to_arraylist(b"\xff\xff")
    with pytest.raises(ParseError, match="2 numbers, not 3"):
        caffe.io.blobproto_to_array(pb.BlobProto(shape=pb.BlobShape(dim=[3]), data=[1, 2]))
    with pytest.raises(DataError, match=r"data has shape \(2,\), its diff \(3,\)"):
        caffe.io.array_to_blobproto(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_arrays_go_through_datums(dtype: Any) -> None:
    values = RNG.integers(0, 256, (3, 4, 5)).astype(dtype)
    datum = caffe.io.array_to_datum(values, 7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 4, 5, 7)
    assert (len(datum.data) > 0) is (dtype is np.uint8)
    assert np.array_equal(caffe.io.datum_to_array(datum), values)
    assert not caffe.io.array_to_datum(values).HasField("label")


def test_encoded_datums_are_decoded() -> None:
    pixels = RNG.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    file = cv2.imencode(".png", pixels)[1].tobytes()
    found = caffe.io.datum_to_array(pb.Datum(data=file, encoded=True))
    assert np.array_equal(found, pixels.transpose(2, 0, 1))


def test_what_is_no_picture_is_no_datum() -> None:
    with pytest.raises(DataError, match=r"not shape \(3, 4\)"):
        caffe.io.array_to_datum(np.zeros((3, 4)))
    with pytest.raises(DataError, match="2 values for a picture of 1x1x3"):
        caffe.io.datum_to_array(pb.Datum(channels=1, height=1, width=3, data=b"ab"))


# --- pictures ----------------------------------------------------------------------------------


def test_pictures_are_loaded_red_first(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (4, 5, 4)).astype(np.uint8)
    for name, stored in (("color", pixels[:, :, :3]), ("alpha", pixels), ("grey", pixels[:, :, 0])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), stored)
    expected = pixels[:, :, 2::-1] / np.float32(255)
    for name in ("color", "alpha"):
        assert np.array_equal(caffe.io.load_image(tmp_path / f"{name}.png"), expected)
    grey = caffe.io.load_image(tmp_path / "color.png", color=False)
    assert grey.shape == (4, 5, 1)
    assert np.allclose(grey[..., 0], expected @ [0.2125, 0.7154, 0.0721], atol=1e-6)
    plain = pixels[:, :, :1] / np.float32(255)
    assert np.array_equal(caffe.io.load_image(tmp_path / "grey.png", color=False), plain)
    assert np.array_equal(caffe.io.load_image(tmp_path / "grey.png"), plain.repeat(3, axis=2))


def test_deep_pictures_are_loaded_whole(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65536, (4, 5)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels)
    found = caffe.io.load_image(str(tmp_path / "deep.png"), color=False)
    assert np.array_equal(found[..., 0], pixels / np.float32(65535))


def test_files_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text.png: .*cannot be decoded"):
        caffe.io.load_image(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"cannot read .*gone.png: No such file"):
        caffe.io.load_image(tmp_path / "gone.png")


# Of skimage.transform.resize(..., mode="constant") 0.20 and scipy.ndimage.zoom 1.10, for an axis of
# values 0, 1, 4, 9, 16 (normalised by 16 for the first) made longer and shorter.
SQUARES = np.arange(5.0) ** 2
RESIZED = {
    (3, 8): [0, 0.4375, 1.1875, 3.0625, 5.5625, 8.6875, 12.9375, 13],
    (3, 2): [1.2299177208590224, 9.51675969922465],
    (4, 8): [0, 4 / 7, 10 / 7, 22 / 7, 38 / 7, 58 / 7, 12, 16],
    (4, 2): [0, 16],
}


@pytest.mark.parametrize(("channels", "new"), RESIZED)
def test_resizing_is_scikit_images(channels: int, new: int) -> None:
    planes = SQUARES[np.newaxis, :, np.newaxis].repeat(2, 0).repeat(channels, 2)
    found = caffe.io.resize_image(planes, (2, new))
    assert found.dtype == np.float32
    for plane in np.moveaxis(found, 2, 0):
        assert np.allclose(plane, RESIZED[channels, new], atol=1e-6)
    turned = caffe.io.resize_image(planes.transpose(1, 0, 2), (new, 2))
    assert np.allclose(turned, found.transpose(1, 0, 2), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_resizing_keeps_what_is_constant_or_of_the_size(channels: int) -> None:
    constant = np.full((4, 5, channels), 7, np.uint8)
    assert np.array_equal(
        caffe.io.resize_image(constant, (3, 9)), np.full((3, 9, channels), 7, np.float32)
    )
    picture = RNG.random((4, 5, channels)).astype(np.float32)
    for order in (0, 1):
        assert np.allclose(caffe.io.resize_image(picture, (4, 5), order), picture, atol=1e-6)


def test_nearest_repeats_pixels() -> None:
    picture = RNG.random((2, 3, 3)).astype(np.float32)
    found = caffe.io.resize_image(picture, (4, 6), interp_order=0)
    assert np.allclose(found, picture.repeat(2, 0).repeat(2, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "dims", "order", "told"),
    [
        ((4, 5), (2, 2), 1, r"shape \(4, 5\)"),
        ((4, 0, 3), (2, 2), 1, "shape"),
        ((4, 5, 3), (0, 2), 1, "to 0 x 2"),
        ((4, 5, 3), (2, 2), 6, "interp_order 6"),
    ],
)
def test_what_cannot_be_resized_is_refused(shape: Any, dims: Any, order: int, told: str) -> None:
    with pytest.raises(DataError, match=told):
        caffe.io.resize_image(np.zeros(shape), dims, order)


@pytest.mark.parametrize(("height", "width"), [(2, 3), (4, 5), (3, 3)])
def test_ten_crops(height: int, width: int) -> None:
    images = RNG.random((2, 4, 5, 3)).astype(np.float32)
    crops = caffe.io.oversample(images, (height, width))
    assert crops.shape == (20, height, width, 3)
    bottom, right = 4 - height, 5 - width
    for number, (top, left) in enumerate(
        [(0, 0), (0, right), (bottom, 0), (bottom, right), (int(bottom / 2), int(right / 2))]
    ):
        expected = images[1, top : top + height, left : left + width]
        assert np.array_equal(crops[10 + number], expected)
        assert np.array_equal(crops[15 + number], expected[:, ::-1])
    with pytest.raises(DataError, match="crops of 5 x 5 from 4 x 5"):
        caffe.io.oversample(images, (5, 5))


# --- the Transformer ---------------------------------------------------------------------------


def transformer(shape: tuple[int, ...] = (1, 3, 4, 5)) -> Any:
    made = caffe.io.Transformer({"data": shape})
    made.set_transpose("data", (2, 0, 1))
    return made


def test_the_steps_come_in_pycaffes_order() -> None:
    picture = RNG.random((4, 5, 3)).astype(np.float32)
    kept = picture.copy()
    one = transformer()
    one.set_channel_swap("data", (2, 1, 0))
    one.set_raw_scale("data", 255)
    one.set_mean("data", np.array([1.0, 2.0, 3.0]))
    one.set_input_scale("data", 0.5)
    found = one.preprocess("data", picture)
    mean = np.float32([1, 2, 3]).reshape(3, 1, 1)
    assert np.allclose(found, (picture.transpose(2, 0, 1)[::-1] * 255 - mean) * 0.5, atol=1e-4)
    assert np.array_equal(picture, kept), "pycaffe scaled the caller's array"
    for batch in (found, found[np.newaxis]):
        assert np.allclose(one.deprocess("data", batch), picture, atol=1e-6)


def test_pictures_are_resized_to_the_input() -> None:
    picture = RNG.random((8, 7, 3)).astype(np.float32)
    expected = caffe.io.resize_image(picture, (4, 5)).transpose(2, 0, 1)
    assert np.array_equal(transformer().preprocess("data", picture), expected)
    shape = [1, 3, 8, 7]  # a list, as from a prototxt: pycaffe resized even equal sizes
    assert np.array_equal(
        transformer(tuple(shape)).preprocess("data", picture), picture.transpose(2, 0, 1)
    )


def test_grey_pictures_come_back_whole() -> None:
    """pycaffe's deprocess squeezed the only channel away."""
    one = transformer((1, 1, 4, 5))
    one.set_mean("data", np.array([0.25]))
    picture = RNG.random((4, 5, 1)).astype(np.float32)
    found = one.preprocess("data", picture)
    assert found.shape == (1, 4, 5)
    assert np.allclose(one.deprocess("data", found), picture)


@pytest.mark.parametrize("shape", [(3,), (4, 5), (1, 4, 5), (3, 4, 5), (3, 9, 7), (9, 7)])
def test_means_of_all_shapes(shape: tuple[int, ...]) -> None:
    mean = RNG.random(shape).astype(np.float32)
    one = transformer()
    one.set_mean("data", mean)
    found = -one.preprocess("data", np.zeros((4, 5, 3)))
    if len(shape) == 1:
        assert np.array_equal(found, np.broadcast_to(mean.reshape(3, 1, 1), (3, 4, 5)))
    elif shape[-2:] == (4, 5):
        assert np.array_equal(found, np.broadcast_to(mean, (3, 4, 5)))
    else:
        planes = mean.reshape(-1, 9, 7).transpose(1, 2, 0)
        resized = caffe.io.resize_image(planes, (4, 5)).transpose(2, 0, 1)
        assert np.array_equal(found, np.broadcast_to(resized, (3, 4, 5)))


@pytest.mark.parametrize(
    ("method", "value", "told"),
    [
        ("set_transpose", (0, 1), "the 3 axes"),
        ("set_transpose", (0, 1, 1), "the 3 axes"),
        ("set_channel_swap", (0, 1), "for the 3 channels"),
        ("set_mean", np.zeros(2), r"a mean of shape \(2,\)"),
        ("set_mean", np.zeros(1), r"a mean of shape \(1,\)"),
        ("set_mean", np.zeros((2, 4, 5)), r"a mean of shape \(2, 4, 5\)"),
        ("set_mean", np.zeros((1, 3, 4, 5)), r"a mean of shape \(1, 3, 4, 5\)"),
        ("preprocess", np.zeros((4, 5)), r"is not made of shape \(4, 5\)"),
    ],
)
def test_what_does_not_fit_the_input_is_refused(method: str, value: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        getattr(transformer(), method)("data", value)
    with pytest.raises(DataError, match="no input 'x'"):
        getattr(transformer(), method)("x", value)


def test_names_of_pycaffe_are_there() -> None:
    from minicaffe.proto import caffe_pb2

    assert caffe_pb2.Datum is pb.Datum
    for name in ("Classifier", "Detector", "Timer", "init_log", "log", "set_multiprocess"):
        assert callable(getattr(caffe, name))
    for module in ("io", "draw", "coord_map", "classifier", "detector"):
        assert getattr(caffe, module).__name__ == f"minicaffe.pycaffe.{module}"
    caffe.set_multiprocess(True)
