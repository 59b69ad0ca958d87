"""Models that the real Caffe trained give its outputs, and the accuracies that were published."""

import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import blob_from_proto, read_binary, read_net, read_solver

# folder, net, weights, what Caffe gave, absolute tolerance
MODELS = [
    ("lenet", "lenet", "lenet_iter_10000.caffemodel", "lenet_iter_10000", 1e-5),
    (
        "cifar10",
        "cifar10_quick",
        "cifar10_quick_iter_5000.caffemodel",
        "cifar10_quick_iter_5000",
        1e-5,
    ),
    (
        "cifar10",
        "cifar10_full",
        "cifar10_full_iter_70000.caffemodel",
        "cifar10_full_iter_70000",
        1e-5,
    ),
    (
        "cifar10_arm",
        "cifar10_m4_deploy_derived",
        "cifar10_m4_iter_70000.caffemodel.h5",
        "cifar10_m4_iter_70000",
        1e-5,
    ),
    (
        "cifar10_arm",
        "cifar10_m7_deploy_derived",
        "cifar10_m7_iter_300000.caffemodel.h5",
        "cifar10_m7_iter_300000",
        1e-5,
    ),
    ("mtcnn", "det1", "det1.caffemodel", "det1", 1e-4),
    ("mtcnn", "det2", "det2.caffemodel", "det2", 1e-4),
    ("mtcnn", "det3", "det3.caffemodel", "det3", 1e-4),
    ("mtcnn", "det4", "det4.caffemodel", "det4", 1e-4),
    ("squeezenet_v1.0", "SqueezeNet_deploy", "squeezenet_decoded.caffemodel", "cat", 1e-4),
    ("wechat_qrcode", "sr", "sr.caffemodel", "sr", 1e-4),
]


def load(folder: Path, net: str, weights: str) -> Any:
    return minicaffe.Net(
        str(folder / f"{net}.prototxt"), minicaffe.TEST, weights=str(folder / weights)
    )


@pytest.mark.parametrize(("folder", "net", "weights", "oracle", "tolerance"), MODELS)
def test_outputs_are_those_of_caffe(
    shared: Path, folder: str, net: str, weights: str, oracle: str, tolerance: float
) -> None:
    where = shared / "data" / "models" / folder
    arrays = np.load(where / f"caffe_oracle_{oracle}.npz")
    loaded = load(where, net, weights)
    loaded.blobs[loaded.inputs[0]].reshape(*arrays["input"].shape)
    loaded.forward(**{loaded.inputs[0]: arrays["input"]})
    for key in arrays.files:
        if key.startswith("out:"):
            given = loaded.blobs[key.removeprefix("out:")].data
            np.testing.assert_allclose(given, arrays[key], rtol=0, atol=tolerance, err_msg=key)


def right(net: Any, images: Any, labels: Any, batch: int = 500) -> int:
    """How many images get their label."""
    name = net.inputs[0]
    net.blobs[name].reshape(batch, *images.shape[1:])
    count = 0
    for start in range(0, len(images), batch):
        scores = net.forward(**{name: images[start : start + batch]})[net.outputs[0]]
        count += int((scores.argmax(axis=1) == labels[start : start + batch]).sum())
    return count


def test_lenet_of_2014_gets_9905_of_the_mnist_test_set(shared: Path, checkout: Path) -> None:
    mnist = checkout / "examples" / "mnist"
    with gzip.open(mnist / "t10k-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(mnist / "t10k-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(), np.uint8, offset=8)
    net = load(shared / "data" / "models" / "lenet", "lenet", "lenet_iter_10000.caffemodel")
    assert right(net, images.astype(np.float32) * np.float32(0.00390625), labels) == 9905


@pytest.fixture(scope="module")
def cifar10(shared: Path) -> tuple[Any, Any]:
    """The 10,000 test images minus the training set's mean, and their labels."""
    with lzma.open(shared / "data" / "cifar10" / "test_batch.bin.xz") as stream:
        rows = np.frombuffer(stream.read(), np.uint8).reshape(-1, 3073)
    path = shared / "data" / "models" / "cifar10" / "mean.binaryproto"
    mean = blob_from_proto(read_binary(str(path), pb.BlobProto()))
    images = rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) - mean.reshape(1, 3, 32, 32)
    return images, rows[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "net", "weights", "accuracy"),
    [
        ("cifar10", "cifar10_quick", "cifar10_quick_iter_5000.caffemodel", 0.7491),
        ("cifar10", "cifar10_full", "cifar10_full_iter_70000.caffemodel", 0.8211),
        ("cifar10_arm", "cifar10_m4_deploy_derived", "cifar10_m4_iter_70000.caffemodel.h5", 0.7915),
        (
            "cifar10_arm",
            "cifar10_m7_deploy_derived",
            "cifar10_m7_iter_300000.caffemodel.h5",
            0.8045,
        ),
    ],
)
def test_accuracy_on_cifar10(
    shared: Path, cifar10: tuple[Any, Any], folder: str, net: str, weights: str, accuracy: float
) -> None:
    images, labels = cifar10
    loaded = load(shared / "data" / "models" / folder, net, weights)
    found = right(loaded, images, labels) / len(labels)
    assert found == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.parametrize(
    ("folder", "solver", "state", "iteration"),
    [
        ("lenet", "lenet_solver", "lenet_iter_5000", 5000),
        ("lenet", "lenet_solver", "lenet_iter_10000", 10000),
        ("cifar10", "cifar10_quick_solver", "cifar10_quick_iter_4000", 4000),
        ("cifar10", "cifar10_quick_solver_lr1", "cifar10_quick_iter_5000", 5000),
        ("cifar10", "cifar10_full_solver", "cifar10_full_iter_70000", 70000),
    ],
)
def test_solver_states_of_caffe_resume(
    shared: Path, folder: str, solver: str, state: str, iteration: int
) -> None:
    """The weights beside the state, its history and iteration are taken up; training goes on."""
    where = shared / "data" / "models" / folder
    param = read_solver(str(where / f"{solver}.prototxt"))
    param.net_param.CopyFrom(read_net(str(where / Path(param.net).name)))
    feed_with_dummies(param.net_param)
    for field in ("net", "test_iter", "test_interval", "snapshot"):
        param.ClearField(field)
    resumed = minicaffe.get_solver(param)
    resumed.restore(str(where / f"{state}.solverstate"))
    assert resumed.iter == iteration
    weights = minicaffe.Net(
        str(where / Path(solver.removesuffix("_lr1").replace("_solver", ".prototxt"))),
        minicaffe.TEST,
        weights=str(where / f"{state}.caffemodel"),
    )
    for name, blobs in weights.params.items():
        np.testing.assert_array_equal(resumed.net.params[name][0].data, blobs[0].data)
    assert np.abs(np.asarray(resumed.history[0])).max() > 0
    resumed.step(1)
    assert resumed.iter == iteration + 1
    assert np.isfinite(np.asarray(resumed.net.flat_params.data)).all()


def feed_with_dummies(net: pb.NetParameter) -> None:
    """Replace the Data layers by generated pictures of the same shape, all with label 0."""
    for layer in net.layer:
        if layer.type == "Data":
            size = (1, 28, 28) if "mnist" in layer.data_param.source else (3, 32, 32)
            layer.type = "DummyData"
            layer.dummy_data_param.shape.add(dim=(4, *size))
            layer.dummy_data_param.shape.add(dim=(4,))
            layer.dummy_data_param.data_filler.add(type="gaussian", std=0.1)
            layer.dummy_data_param.data_filler.add(type="constant")
