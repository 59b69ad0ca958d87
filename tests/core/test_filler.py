"""Fillers: the first values of parameters, equal to Caffe's for the same seed."""

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.errors import LayerError
from minicaffe.filler import FILLERS, fill
from minicaffe.proto import minicaffe_pb2 as pb

GOLDENS = [
    "constant", "default", "uniform", "uniform_default", "gaussian", "gaussian_sparse",
    "xavier_ip_fan_in", "xavier_conv_fan_in", "xavier_ip_fan_out", "xavier_ip_average", "xavier_1d",
    "msra_ip_fan_in", "msra_conv_fan_in", "msra_conv_fan_out", "msra_ip_average",
    "msra_conv_average", "msra_1d_fan_out", "bilinear_k4", "bilinear_k5",
]  # fmt: skip


def filled(shape, text, seed=1234):
    context.set_random_seed(seed)
    blob = Blob(shape)
    fill(blob, text_format.Parse(text, pb.FillerParameter()))
    return np.asarray(blob.data).copy()


def filler_of(net):
    """The filler of the golden's layer L (its weight's, or its only one)."""
    layer = next(layer for layer in net.layer if layer.name == "L")
    for _, value in layer.ListFields():
        if hasattr(value, "DESCRIPTOR"):
            for field, filler in value.ListFields():
                if field.name in ("weight_filler", "filler"):
                    return filler
    raise AssertionError("no filler in layer L")


@pytest.mark.parametrize("name", GOLDENS)
def test_values_are_those_of_caffe(goldens, name):
    net = text_format.Parse(
        (goldens / "fillers" / f"{name}.prototxt").read_text(), pb.NetParameter()
    )
    with np.load(goldens / "fillers" / f"{name}.npz") as arrays:
        (expected,) = arrays.values()
    context.set_random_seed(1234)
    blob = Blob(expected.shape)
    fill(blob, filler_of(net))
    assert np.array_equal(np.asarray(blob.data), expected)


def test_every_golden_is_checked(goldens):
    assert sorted(GOLDENS) == sorted(file.stem for file in (goldens / "fillers").glob("*.npz"))


def test_the_default_is_constant_zero():
    assert not filled((3, 4), "").any()


def test_the_items_of_a_positive_unitball_sum_to_one():
    values = filled((5, 3, 2, 2), 'type: "positive_unitball"')
    assert (values >= 0).all()
    assert values.reshape(5, -1).sum(axis=1) == pytest.approx(1)


def test_a_positive_unitball_divides_uniform_values_by_their_sum():
    raw = context.Generator(1234).uniform(12, 0, 1).reshape(3, 4)
    values = filled((3, 4), 'type: "positive_unitball"')
    np.testing.assert_allclose(values, raw / raw.sum(axis=1, keepdims=True), rtol=3e-7)


def test_bilinear_weights_interpolate_linearly():
    assert filled((1, 1, 4, 4), 'type: "bilinear"')[0, 0, 1].tolist() == [
        0.1875, 0.5625, 0.5625, 0.1875
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("norm", "fan"), [("FAN_IN", 3 * 4 * 4), ("FAN_OUT", 2 * 4 * 4), ("AVERAGE", 40)]
)
def test_xavier_and_msra_scale_by_the_fan(norm, fan):
    shape = (2, 3, 4, 4)
    xavier = filled(shape, f'type: "xavier" variance_norm: {norm}')
    assert np.abs(xavier).max() == pytest.approx(np.sqrt(3 / fan), rel=0.1)
    msra = filled(shape, f'type: "msra" variance_norm: {norm}')
    assert np.abs(msra).mean() == pytest.approx(np.sqrt(2 / fan) * np.sqrt(2 / np.pi), rel=0.2)


def test_a_sparse_gaussian_leaves_about_that_many_inputs_an_output():
    values = filled((100, 50), 'type: "gaussian" sparse: 10')
    assert (values != 0).mean() == pytest.approx(0.1, abs=0.02)


def test_random_fillers_continue_one_stream():
    context.set_random_seed(3)
    first, second = Blob((4,)), Blob((4,))
    param = pb.FillerParameter(type="uniform")
    fill(first, param)
    fill(second, param)
    assert [*first.data, *second.data] == context.Generator(3).uniform(8, 0, 1).tolist()


def test_an_unknown_filler_is_refused_with_the_known_ones():
    with pytest.raises(LayerError, match="no filler 'normal'") as caught:
        filled((1,), 'type: "normal"')
    assert all(name in str(caught.value) for name in FILLERS)


@pytest.mark.parametrize(
    ("shape", "text", "message"),
    [
        ((2, 2), 'type: "uniform" min: 1 max: 0', "min <= max, not 1 and 0"),
        ((2, 2), 'type: "gaussian" std: 0', "std > 0, not 0"),
        ((2, 2), 'type: "gaussian" std: -1', "std > 0, not -1"),
        ((2, 2), 'type: "gaussian" sparse: 3', "sparse 3 needs"),
        ((2, 2), 'type: "gaussian" sparse: -2', "sparse -2 needs"),
        ((), 'type: "gaussian" sparse: 0', "sparse 0 needs"),
        ((2, 2), 'type: "xavier" sparse: 1', "'xavier' cannot be sparse"),
        ((2, 2), 'type: "bilinear"', "4 axes and a square kernel"),
        ((1, 1, 2, 3), 'type: "bilinear"', "4 axes and a square kernel"),
        ((0, 2), 'type: "xavier"', "nothing to fill"),
    ],
)
def test_what_a_filler_cannot_do_is_refused(shape, text, message):
    with pytest.raises(LayerError, match=message):
        filled(shape, text)
