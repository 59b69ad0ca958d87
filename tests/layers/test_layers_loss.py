"""Losses and Accuracy: labels, normalization, extreme scores, one result on all threads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minicaffe.errors import LayerError
from minicaffe.machine.threads import num_threads, set_num_threads
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.blob_proto import array_to_blob_proto
from minicaffe.proto.files import write_binary
from minicaffe.proto.text import parse_text
from tests.one_layer import OneLayer

SOFTMAX = 'type: "SoftmaxWithLoss"'
LABELLED = ["SoftmaxWithLoss", "Accuracy", "HingeLoss", "MultinomialLogisticLoss", "InfogainLoss"]


def scores(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_matrix(layer_type: str, *inputs: Any) -> tuple[Any, ...]:
    """InfogainLoss takes its matrix as a third bottom."""
    return (*inputs, np.eye(inputs[0].shape[1])) if layer_type == "InfogainLoss" else inputs


def log_softmax(x: NDArray[np.float32], axis: int = 1) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    wide = wide - wide.max(axis=axis, keepdims=True)
    result: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=axis, keepdims=True))
    return result


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [3, -1, 7.5, np.nan, 1e20, -np.inf])
@pytest.mark.parametrize("layer_type", LABELLED)
def test_a_label_of_no_class_is_named(device: str, layer_type: str, label: float) -> None:
    """Caffe reads foreign memory there. The message has the sample, the label and the range."""
    labels = np.array([0, 1, label, 2])
    inputs = with_matrix(layer_type, np.abs(scores(4, 3)), labels)
    case = OneLayer(f'type: "{layer_type}"', *inputs, device=device)
    message = rf"layer 'L' \({layer_type}\): label .* of sample 2 is not in 0 \.\. 2"
    with pytest.raises(LayerError, match=message):
        case.forward()
    labels[2] = 1
    assert np.isfinite(case.forward(inputs[0], labels, *inputs[2:]))


def test_a_bad_label_of_a_map_is_found(device: str) -> None:
    """Its place in the map is named, and that ignore_label would have been allowed."""
    labels = np.zeros((2, 1, 3, 4))
    labels[1, 0, 2, 3] = 21
    labels[0, 0, 1, 1] = 255
    case = OneLayer(
        f"{SOFTMAX} loss_param {{ ignore_label: 255 }}", scores(2, 5, 3, 4), labels, device=device
    )
    message = r"label 21 of sample 1 at \(0, 2, 3\) is not in 0 \.\. 4, or ignore_label 255"
    with pytest.raises(LayerError, match=message):
        case.forward()


@pytest.mark.parametrize("layer_type", LABELLED)
def test_labels_are_truncated(device: str, layer_type: str) -> None:
    """As a cast to int does: 1.9 is class 1, -0.9 class 0."""
    x = np.abs(scores(3, 4))
    values = []
    for labels in ([1.9, -0.9, 3.5], [1, 0, 3]):
        inputs = with_matrix(layer_type, x, labels)
        values.append(OneLayer(f'type: "{layer_type}"', *inputs, device=device).forward())
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("layer_type", "shapes", "message"),
    [
        ("SoftmaxWithLoss", [(2, 3, 4), (2, 3)], "6 labels for 8 positions"),
        ("SoftmaxWithLoss", [(2, 3), (3,)], "must agree in their first axis"),
        ("Accuracy", [(2, 3, 4), (2,)], "2 labels for 8 positions"),
        ("InfogainLoss", [(2, 3), (2,), (3, 4)], r"H of shape \(3, 4\) does not fit 3 classes"),
        ("InfogainLoss", [(2, 3), (2,)], "give `source`, or a third bottom"),
        ("HingeLoss", [(2, 3), (2, 3)], "one label a sample"),
        ("MultinomialLogisticLoss", [(2, 3), (2, 2)], "one label a sample"),
        ("EuclideanLoss", [(2, 3), (2, 4)], "the same number of values after"),
        ("SigmoidCrossEntropyLoss", [(2, 3), (2, 4)], "the same number of values"),
        ("ContrastiveLoss", [(2, 3), (2, 4), (2,)], r"must both be \(N, C\)"),
        ("ContrastiveLoss", [(2, 3, 2, 2), (2, 3, 2, 2), (2,)], r"must both be \(N, C\)"),
        ("ContrastiveLoss", [(2, 3), (2, 3), (2, 2)], "there must be one a pair"),
    ],
)
def test_shapes_that_do_not_fit(layer_type: str, shapes: list[Any], message: str) -> None:
    """The message names the layer and the shapes."""
    with pytest.raises(LayerError, match=f"layer 'L' \\({layer_type}\\): .*{message}"):
        OneLayer(f'type: "{layer_type}"', *map(np.zeros, shapes))


@pytest.mark.parametrize("layer_type", [*LABELLED[:1], *LABELLED[2:], "SigmoidCrossEntropyLoss"])
def test_labels_have_no_gradient(layer_type: str) -> None:
    """Asking for it is an error."""
    labels = np.zeros((2, 3) if layer_type == "SigmoidCrossEntropyLoss" else 2)
    inputs = with_matrix(layer_type, np.ones((2, 3)), labels)
    case = OneLayer(f'type: "{layer_type}"', *inputs)
    case.forward()
    with pytest.raises(LayerError, match="no gradient"):
        case.backward(1.0, wanted=2)
    assert not case.layer.allow_force_backward(1)


# --- what the sum is divided by ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "divisor"),
    [
        ("", 5),  # VALID: six positions, one of them ignored
        ("normalization: FULL", 6),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalize: true", 5),
        ("normalize: false", 2),
        ("normalize: false normalization: FULL", 6),
    ],
)
def test_normalization_of_softmax_with_loss(device: str, text: str, divisor: int) -> None:
    """Loss and gradient are divided by the same count."""
    x, labels = scores(2, 4, 3), np.array([[0, 3, 1], [2, 9, 0]])
    case = OneLayer(f"{SOFTMAX} loss_param {{ ignore_label: 9 {text} }}", x, labels, device=device)
    logs = log_softmax(x)
    picked = np.take_along_axis(logs, np.minimum(labels, 3)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(case.forward(), -picked[labels != 9].sum() / divisor, rtol=1e-6)
    one_hot = np.arange(4)[:, None] == labels[:, None, :]
    expected = np.where(labels[:, None] != 9, np.exp(logs) - one_hot, 0) * 2.5 / divisor
    np.testing.assert_allclose(case.backward(2.5)[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "divisor"),
    [("", 2), ("normalization: VALID", 5), ("normalize: true", 5), ("normalization: FULL", 6)],
)
def test_normalization_of_sigmoid_cross_entropy(device: str, text: str, divisor: int) -> None:
    """By default over the images, not over the values that count."""
    x, targets = scores(2, 3), np.array([[0, 1, 0.5], [-1, 1, 0.25]])
    case = OneLayer(
        f'type: "SigmoidCrossEntropyLoss" loss_param {{ ignore_label: -1 {text} }}',
        x,
        targets,
        device=device,
    )
    p = 1 / (1 + np.exp(-x.astype(np.float64)))
    losses = -targets * np.log(p) - (1 - targets) * np.log(1 - p)
    valid = targets != -1
    np.testing.assert_allclose(case.forward(), losses[valid].sum() / divisor, rtol=1e-6)
    expected = np.where(valid, p - targets, 0) / divisor
    np.testing.assert_allclose(case.backward(1.0)[0], expected, rtol=1e-5, atol=1e-7)


def test_nothing_to_learn_from(device: str) -> None:
    """All labels ignored: the loss is 0, and so is the gradient."""
    text = f"{SOFTMAX} loss_param {{ ignore_label: 1 }}"
    case = OneLayer(text, scores(3, 4), np.ones(3), device=device)
    assert case.forward() == 0
    assert not case.backward(1.0)[0].any()


# --- extremes ------------------------------------------------------------------------------------


def test_huge_scores(device: str) -> None:
    """No overflow; the loss of a certain error is -log of the smallest normal float."""
    x = np.array([[1e4, -1e4, 0], [-3e38, 3e38, 0]])
    case = OneLayer(SOFTMAX, x, [0, 0], device=device)
    smallest = np.log(np.finfo(np.float32).tiny)
    np.testing.assert_allclose(case.forward(), -smallest / 2, rtol=1e-6)
    np.testing.assert_allclose(case.backward(2.0)[0], [[0, 0, 0], [-1, 1, 0]], atol=1e-7)
    cross = OneLayer('type: "SigmoidCrossEntropyLoss"', x, [[1, 0, 1], [1, 0, 0]], device=device)
    assert np.isfinite(cross.forward())
    np.testing.assert_allclose(cross.backward(2.0)[0], [[0, 0, -0.5], [-1, 1, 0.5]])


def test_infinite_scores_of_impossible_classes(device: str) -> None:
    """exp(-inf) is 0, not NaN."""
    case = OneLayer('type: "Softmax"', [[0, -np.inf, 0]], device=device)
    np.testing.assert_allclose(case.forward(), [[0.5, 0, 0.5]])


def test_nan_scores_stay_visible(device: str) -> None:
    """A NaN among the scores makes the loss NaN."""
    case = OneLayer(SOFTMAX, [[0, np.nan, 0]], [0], device=device)
    assert np.isnan(case.forward())


@pytest.mark.parametrize("shape", [(3, 7), (2, 5, 3), (1, 3, 700), (4, 1)])
@pytest.mark.parametrize("axis", [1, -1, 0])
def test_softmax_is_its_formula(device: str, shape: tuple[int, ...], axis: int) -> None:
    """Along any axis, and in place."""
    x, dy = 3 * scores(*shape), scores(*shape, seed=1)
    case = OneLayer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', x, device=device)
    y = np.exp(log_softmax(x, axis))
    np.testing.assert_allclose(case.forward(), y, rtol=1e-5)
    expected = y * (dy - (dy * y).sum(axis=axis, keepdims=True))
    np.testing.assert_allclose(case.backward(dy)[0], expected, rtol=1e-4, atol=1e-6)
    case.top = case.bottom
    np.testing.assert_allclose(case.forward(x), y, rtol=1e-5)


def test_the_logarithm_of_the_cpu_is_right_to_the_last_bit() -> None:
    """One unit at most, over all magnitudes of float32 but denormals, which are 0 in a kernel."""
    bits = np.random.default_rng(0).integers(0x00800000, 0x7F800000, 20000).astype(np.int32)
    x = np.concatenate([bits.view(np.float32), np.linspace(0.4, 2, 20001, dtype=np.float32)])
    case = OneLayer('type: "Log"', x, device="cpu")
    exact = np.log(x.astype(np.float64))
    error = np.abs(case.forward() - exact) / np.spacing(np.abs(exact).astype(np.float32) + 1e-30)
    assert error.max() < 1


# --- single losses -------------------------------------------------------------------------------


def test_infogain_of_the_identity_is_softmax_with_loss(device: str) -> None:
    """Loss, gradient, and the probabilities as a second top."""
    x, labels = scores(4, 3, 5), np.random.default_rng(1).integers(0, 3, (4, 5))
    plain = OneLayer(SOFTMAX, x, labels, device=device)
    info = OneLayer('type: "InfogainLoss"', x, labels, np.eye(3), device=device, tops=2)
    np.testing.assert_allclose(info.forward(), plain.forward(), rtol=1e-6)
    np.testing.assert_allclose(info.backward(1.0)[0], plain.backward(1.0)[0], atol=1e-7)
    np.testing.assert_allclose(np.array(info.top[1].data), np.exp(log_softmax(x)), rtol=1e-5)


def test_infogain_matrix_from_a_file(tmp_path: Path) -> None:
    """The file may have any shape with C * C values; a missing one and a wrong size are named."""
    path = tmp_path / "H.binaryproto"
    write_binary(path, array_to_blob_proto(2 * np.eye(3).reshape(1, 1, 3, 3)))
    text = f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}'
    x, labels = scores(2, 3), np.array([0, 2])
    plain = OneLayer(SOFTMAX, x, labels).forward()
    np.testing.assert_allclose(OneLayer(text, x, labels).forward(), 2 * plain, rtol=1e-6)
    with pytest.raises(LayerError, match=r"H of shape \(1, 1, 3, 3\) does not fit 4 classes"):
        OneLayer(text, scores(2, 4), labels)
    with pytest.raises(LayerError, match=r"source: .*elsewhere: cannot be read"):
        OneLayer(text.replace(str(path), str(tmp_path / "elsewhere")), x, labels)


def test_infogain_refuses_the_old_normalize() -> None:
    """As Caffe does."""
    with pytest.raises(LayerError, match="`normalize` is refused"):
        OneLayer('type: "InfogainLoss" loss_param { normalize: true }', scores(2, 3), [0, 1])


def test_accuracy_of_each_class(device: str) -> None:
    """Classes without samples have 0; ignored samples are in no class."""
    x = np.array([[2, 1, 0, 0], [0, 2, 1, 0], [2, 1, 0, 0], [0, 0, 0, 9]])
    labels = [0, 1, 1, 3]
    text = 'type: "Accuracy" accuracy_param { ignore_label: 3 }'
    case = OneLayer(text, x, labels, device=device, tops=2)
    np.testing.assert_allclose(case.forward(), 2 / 3, rtol=1e-6)
    np.testing.assert_array_equal(np.array(case.top[1].data), [1, 0.5, 0, 0])
    assert case.forward(x, [3, 3, 3, 3]) == 0


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_scores_that_are_nan_are_not_right(device: str, top_k: int) -> None:
    """Neither a label's own, nor one that may hide that another is higher."""
    text = f'type: "Accuracy" accuracy_param {{ top_k: {top_k} }}'
    assert OneLayer(text, np.full((4, 3), np.nan), [0, 1, 2, 0], device=device).forward() == 0
    own = OneLayer(text, [[np.nan, 0, 1]], [0], device=device)
    assert own.forward() == 0
    other = OneLayer(text, [[5, np.nan, 1]], [0], device=device)
    assert other.forward() == float(top_k > 1)


def test_accuracy_needs_as_many_classes_as_top_k() -> None:
    """top_k 4 of 3 classes is refused."""
    with pytest.raises(LayerError, match="top_k 4 is more than the 3 classes"):
        OneLayer('type: "Accuracy" accuracy_param { top_k: 4 }', scores(2, 3), [0, 1])


def test_euclidean_loss_pulls_both(device: str) -> None:
    """The gradients are opposite; shapes may differ after the first axis."""
    a, b = scores(3, 2, 2), scores(3, 4, seed=1)
    case = OneLayer('type: "EuclideanLoss"', a, b, device=device)
    difference = a.reshape(3, 4) - b
    np.testing.assert_allclose(case.forward(), (difference**2).sum() / 6, rtol=1e-6)
    da, db = case.backward(3.0, wanted=2)
    np.testing.assert_allclose(da.reshape(3, 4), difference, rtol=1e-6)
    np.testing.assert_array_equal(db, -da.reshape(3, 4))


def test_two_tops_of_softmax_with_loss_are_refused() -> None:
    """Caffe aborts on them, too; a Softmax layer gives the probabilities."""
    with pytest.raises(LayerError, match="takes 1 top"):
        OneLayer(SOFTMAX, scores(2, 3), [0, 1], tops=2)


def test_cudnn_is_not_built_in() -> None:
    """A Caffe without cuDNN aborts."""
    with pytest.raises(LayerError, match="engine CUDNN is not built in"):
        OneLayer('type: "Softmax" softmax_param { engine: CUDNN }', scores(2, 3))


# --- threads -------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[None]:
    """Put the number of threads back."""
    count = num_threads()
    yield
    set_num_threads(count)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("text", "target"),
    [
        (SOFTMAX, np.random.default_rng(1).integers(0, 4, (3, 5000))),
        ('type: "EuclideanLoss"', scores(3, 4, 5000, seed=1)),
        ('type: "SigmoidCrossEntropyLoss"', scores(3, 4, 5000, seed=2) > 0),
    ],
)
def test_bits_do_not_depend_on_the_number_of_threads(text: str, target: Any) -> None:
    """Ranks with different numbers of cores stay equal."""
    x = scores(3, 4, 5000)
    results = []
    for count in (1, 2):
        set_num_threads(count)
        case = OneLayer(text, x, target)
        results.append((case.forward(), case.backward(1.0)[0]))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("layer_type", ["SoftmaxWithLoss", "MultinomialLogisticLoss", "HingeLoss"])
def test_of_no_classes_every_label_is_bad(device: str, layer_type: str) -> None:
    net = Net(
        parse_text(
            f"""layer {{ name: "x" type: "Input" top: "x" top: "label"
              input_param {{ shape {{ dim: 2 dim: 0 }} shape {{ dim: 2 }} }} }}
            layer {{ type: "{layer_type}" bottom: "x" bottom: "label" top: "loss" }}""",
            pb.NetParameter(),
            "no classes",
        ),
        device=device,
    )
    with pytest.raises(LayerError, match="label 0 of sample 0 is not in"):
        net.forward_pass()
