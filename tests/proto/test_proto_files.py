"""Files of messages, and arrays in them."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.errors import ParseError, SnapshotError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import (
    array_to_blob_proto,
    blob_from_proto,
    blob_shape,
    read_binary,
    read_net,
    read_net_binary,
    read_solver,
    read_text,
    shape_matches,
    write_binary,
    write_text,
)


def weights() -> pb.NetParameter:
    net = pb.NetParameter(name="n")
    layer = net.layer.add(name="ip", type="InnerProduct", bottom=["x"], top=["y"])
    layer.inner_product_param.num_output = 3
    layer.blobs.append(array_to_blob_proto(np.arange(6).reshape(3, 2)))
    layer.blobs.append(array_to_blob_proto(np.ones(3)))
    return net


# --- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (2, 3), (2, 0, 3), (1, 2, 3, 4, 5)])
def test_array_to_message_and_back(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    proto = array_to_blob_proto(values, diff=-values)
    assert blob_shape(proto) == shape
    for diff, expected in ((False, values), (True, -values)):
        got = blob_from_proto(proto, diff)
        assert got.dtype == np.float32
        assert got.shape == shape
        np.testing.assert_array_equal(got, expected)
    assert not array_to_blob_proto(values).diff


def test_message_is_what_protobuf_itself_would_make() -> None:
    values = np.linspace(-1, 1, 1000, dtype=np.float32)
    expected = pb.BlobProto(data=values.tolist(), diff=(2 * values).tolist())
    expected.shape.dim.append(1000)
    proto = array_to_blob_proto(values, 2 * values)
    assert proto == expected
    assert proto.SerializeToString() == expected.SerializeToString()


def test_array_of_other_types_and_orders() -> None:
    values = np.arange(6, dtype=np.int64).reshape(2, 3).T
    np.testing.assert_array_equal(blob_from_proto(array_to_blob_proto(values)), values)
    assert blob_from_proto(array_to_blob_proto([1.5, 2])).tolist() == [1.5, 2]


def test_array_is_a_copy() -> None:
    proto = array_to_blob_proto([1.0, 2.0])
    blob_from_proto(proto)[...] = 7
    assert list(proto.data) == [1, 2]


def test_four_extents_of_old_files() -> None:
    """Any of them makes the blob an old one, a shape beside them is not looked at."""
    old = pb.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    old.shape.dim.extend([6])
    assert blob_shape(old) == (1, 2, 1, 3)
    assert blob_from_proto(old).shape == (1, 2, 1, 3)
    assert blob_shape(pb.BlobProto(width=0)) == (0, 0, 0, 0)


def test_doubles_come_first() -> None:
    proto = pb.BlobProto(double_data=[1.5, 1e300], data=[7, 7], double_diff=[3, 4])
    proto.shape.dim.append(2)
    assert blob_from_proto(proto).tolist() == [1.5, np.inf]
    assert blob_from_proto(proto, diff=True).tolist() == [3, 4]


@pytest.mark.parametrize("dims", [[3], [1, 1], [], [-2], [-1, -2], [2**62, 4]])
def test_numbers_that_do_not_fill_the_shape(dims: list[int]) -> None:
    proto = pb.BlobProto(data=[1, 2])
    proto.shape.dim.extend(dims)
    with pytest.raises(ParseError, match=r"a stored blob of shape .* has 2 numbers, not"):
        blob_from_proto(proto)


@pytest.mark.parametrize(
    ("stored", "shape", "fits"),
    [
        ((1, 1, 1, 5), (5,), True),
        ((1, 1, 4, 5), (4, 5), True),
        ((1, 1, 4, 5), (1, 4, 5), True),
        ((3, 2, 4, 5), (3, 2, 4, 5), True),
        ((1, 1, 1, 1), (), True),
        ((5, 1, 1, 1), (5,), False),
        ((1, 1, 5, 4), (4, 5), False),
        ((1, 1, 4, 5), (20,), False),
        ((1, 1, 4, 5), (1, 1, 1, 4, 5), False),
    ],
)
def test_shapes_of_old_files(stored: tuple[int, ...], shape: tuple[int, ...], fits: bool) -> None:
    n, c, h, w = stored
    assert shape_matches(pb.BlobProto(num=n, channels=c, height=h, width=w), shape) is fits


def test_shapes_of_today() -> None:
    proto = array_to_blob_proto(np.zeros((1, 5)))
    assert shape_matches(proto, [1, 5])
    assert not shape_matches(proto, (5,))
    assert not shape_matches(proto, (5, 1))


@pytest.mark.parametrize("name", ["blob_double", "blob_shape_diff", "mean", "infogain_H5"])
def test_blobs_of_caffe(goldens: Path, name: str) -> None:
    proto = read_binary(goldens / "files" / f"{name}.binaryproto", pb.BlobProto())
    assert blob_from_proto(proto).size > 0


# --- weights -----------------------------------------------------------------------------------


def test_trained_models(shared: Path) -> None:
    """Every .caffemodel loads, whatever its form; the sizes are those of the published nets."""
    folder = shared / "data" / "models"
    expected = {
        "lenet/lenet_iter_10000.caffemodel": 431_080,
        "cifar10/cifar10_quick_iter_5000.caffemodel": 145_578,
        "cifar10/cifar10_full_iter_70000.caffemodel": 89_578,
        "squeezenet_v1.0/squeezenet_decoded.caffemodel": 1_248_424,
    }
    for file in sorted(folder.rglob("*.caffemodel")):
        net = read_net_binary(file)
        blobs = [blob for layer in net.layer for blob in layer.blobs]
        assert blobs, file
        assert not net.layers
        count = sum(blob_from_proto(blob).size for blob in blobs)
        assert count == expected.get(str(file.relative_to(folder)), count)


def test_solver_states(shared: Path) -> None:
    for file in sorted((shared / "data" / "models").rglob("*.solverstate")):
        state = read_binary(file, pb.SolverState())
        assert file.name.endswith(f"_iter_{state.iter}.solverstate")
        with pytest.raises(ParseError, match=f"{file.name}: .*not a NetParameter"):
            read_net_binary(file)


def test_weights_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "n.caffemodel"
    write_binary(file, weights())
    assert read_net_binary(file) == weights()
    assert read_net_binary(str(file)) == weights()


def test_large_weights(tmp_path: Path) -> None:
    """More than the 64 MB at which protobuf once stopped."""
    net = weights()
    net.layer[0].blobs[0].CopyFrom(array_to_blob_proto(np.zeros((5000, 4000))))
    file = tmp_path / "large.caffemodel"
    file.write_bytes(net.SerializeToString())
    assert file.stat().st_size > 80_000_000
    assert blob_from_proto(read_net_binary(file).layer[0].blobs[0]).shape == (5000, 4000)


NO_WEIGHTS = {
    "empty": (b"", "an empty file where a NetParameter was expected"),
    "text": (b'name: "n"\nlayer { }\n', "truncated, or not a NetParameter"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file where a binary NetParameter was expected"),
    "zeros": (bytes(100), "truncated, or not a NetParameter"),
    "no layers": (pb.NetParameter(name="n").SerializeToString(), "holds no layers"),
    "another message": (pb.Datum(channels=1).SerializeToString(), "holds no layers"),
    "both forms": (
        pb.NetParameter(layer=[pb.LayerParameter()], layers=[{}]).SerializeToString(),
        "has both 'layer' and 'layers'",
    ),
    "name in another encoding": (
        b"\xa2\x06\x03\x0a\x01\xe9",
        "the name of a LayerParameter is not UTF-8|can't decode byte 0xe9",
    ),
    "name with a NUL": (
        b"\xa2\x06\x03\x0a\x01\x00",
        "the name of a LayerParameter holds a NUL character",
    ),
    "required field missing": (b"\xa2\x06\x03\xa2\x09\x00", "ClipParameter has no min"),
    "nested without end": (b"\x13" * 1000, "truncated, or not a NetParameter"),
}


@pytest.mark.parametrize(("data", "message"), NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_files_that_hold_no_weights(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "n.caffemodel"
    file.write_bytes(data)
    with pytest.raises(ParseError, match=rf"n.caffemodel: .*({message})"):
        read_net_binary(file)


def test_truncated_weights(tmp_path: Path) -> None:
    """Wherever the file ends: an error that names it."""
    data = weights().SerializeToString()
    file = tmp_path / "n.caffemodel"
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(ParseError, match=r"n\.caffemodel: "):
            read_net_binary(file)


def test_damaged_weights(tmp_path: Path) -> None:
    """Random damage is read as something else, or leads to ParseError alone."""
    old = pb.NetParameter(input=["x"], input_dim=[1, 2, 3, 4])
    layer = old.layers.add(name="l", type=pb.V1LayerParameter.DATA, blobs_lr=[1], param=["w"])
    layer.data_param.scale = 2
    old.layers.add().layer.name = "v0"
    draw = random.Random(3)
    file = tmp_path / "n.caffemodel"
    for original in (weights().SerializeToString(), old.SerializeToString()):
        for _ in range(500):
            data = bytearray(original)
            for _ in range(draw.randrange(1, 4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            file.write_bytes(data)
            try:
                read_net_binary(file)
            except ParseError as error:
                assert str(file) in str(error)


@pytest.mark.parametrize(
    "read",
    [read_net, read_solver, read_net_binary, lambda path: read_binary(path, pb.Datum())],
)
def test_files_that_are_not_there(tmp_path: Path, read: Any) -> None:
    with pytest.raises(ParseError, match=r"nowhere: cannot be read: No such file or directory"):
        read(tmp_path / "nowhere")
    with pytest.raises(ParseError, match=r"cannot be read: Is a directory"):
        read(tmp_path)


# --- writing -----------------------------------------------------------------------------------


def test_write_text(tmp_path: Path) -> None:
    net = pb.NetParameter(name="größe")
    write_text(tmp_path / "net.prototxt", net)
    assert (tmp_path / "net.prototxt").read_bytes() == 'name: "größe"\n'.encode()
    assert read_text(tmp_path / "net.prototxt", pb.NetParameter()) == net


@pytest.mark.parametrize("write", [write_binary, write_text])
def test_place_that_cannot_be_written(tmp_path: Path, write: Any) -> None:
    with pytest.raises(SnapshotError, match=r"n/x: cannot be written: No such file or directory"):
        write(tmp_path / "n" / "x", weights())
    (tmp_path / "folder").mkdir()
    with pytest.raises(SnapshotError, match=r"folder: cannot be written: Is a directory"):
        write(tmp_path / "folder", weights())
    assert os.listdir(tmp_path) == ["folder"]  # nothing is left beside


def test_message_that_cannot_be_written(tmp_path: Path) -> None:
    net = weights()
    net.layer[0].clip_param.min = 1
    file = tmp_path / "n.caffemodel"
    file.write_bytes(b"as it was")
    with pytest.raises(SnapshotError, match=r"n.caffemodel: cannot be written: .*clip_param.max"):
        write_binary(file, net)
    assert file.read_bytes() == b"as it was"


def test_write_goes_through_links_and_obeys_the_umask(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    link = tmp_path / "latest"
    link.symlink_to("a/weights")
    mask = os.umask(0o022)
    try:
        write_binary(link, weights())
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert read_net_binary(tmp_path / "a" / "weights") == weights()
    assert (tmp_path / "a" / "weights").stat().st_mode & 0o777 == 0o644
