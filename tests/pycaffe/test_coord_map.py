"""Coordinate maps between tops: by hand, as Caffe's tests state them, and against Caffe."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import NetError
from minicaffe.pycaffe.coord_map import (
    AxisMismatchException,
    CropException,
    UnconnectedException,
    compose,
    coord_map_from_to,
    crop,
    inverse,
)


def net(
    ks: Any = 3, stride: Any = 1, pad: Any = 0, pool: int = 2, up: Any = 2, dpad: Any = 0
) -> Any:
    """A convolution, a pooling and a deconvolution of twice its stride."""
    n: Any = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 100, 100]})
    n.aux = L.Input(shape={"dim": [2, 1, 20, 20]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, kernel_size=pool, stride=pool)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=2 * up, stride=up, pad=dpad)
    return n


def maps(top: Any, other: Any) -> tuple[Any, list[float], list[float]]:
    axis, scale, shift = coord_map_from_to(top, other)
    return axis, scale.tolist(), shift.tolist()


@pytest.mark.parametrize(
    ("more", "scale", "shift"),
    [
        ({}, [1], [0]),
        ({"pool": 4, "up": 4}, [1], [-1]),
        ({"pad": 3}, [1], [-3]),
        ({"dpad": 3}, [1], [3]),
        ({"pad": 4, "dpad": 4}, [1], [0]),
        ({"pool": 3}, [1.5], [-0.25]),
        ({"ks": [3, 5], "stride": [1, 2], "pad": [0, 10]}, [1, 2], [0, -10]),
    ],
)
def test_there_and_back(more: dict[str, Any], scale: Any, shift: Any) -> None:
    n = net(**more)
    assert maps(n.deconv, n.data) == (1, pytest.approx(scale), pytest.approx(shift))
    _, back_scale, back_shift = coord_map_from_to(n.data, n.deconv)
    assert np.allclose(back_scale, 1 / np.array(scale))
    assert np.allclose(back_shift, -np.array(shift) / scale)


def test_what_is_element_by_element_passes_through() -> None:
    n = net()
    n.relu = L.ReLU(n.deconv, in_place=True)
    n.conv1x1 = L.Convolution(n.relu, num_output=10, kernel_size=1)
    n.sum = L.Eltwise(n.conv1x1, n.deconv)
    for top in (n.relu, n.conv1x1, n.sum):
        assert maps(top, n.data) == maps(n.deconv, n.data)
    assert maps(n.data, n.data) == (None, [1], [0])


def test_all_bottoms_are_mapped_alike() -> None:
    n = net()
    n.left, n.right = L.Convolution(n.data, n.aux, ntop=2, num_output=1, kernel_size=5, stride=2)
    assert maps(n.left, n.data) == maps(n.right, n.aux) == (1, [2], [2])


def test_parameters_in_every_form() -> None:
    n = net()
    for params in (
        {"kernel_size": 5, "stride": 2, "pad": 1},
        {"kernel_h": 5, "kernel_w": 5, "stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1},
        {"convolution_param": {"kernel_size": 5, "stride": 2, "pad": 1}},
        {"kernel_size": 3, "dilation": 2, "stride": 2, "pad": 1},
    ):
        axis, scale, shift = coord_map_from_to(L.Convolution(n.data, **params), n.data)
        assert (axis, *{*scale.tolist()}, *{*shift.tolist()}) == (1, 2, 1)
    pooled = L.Pooling(n.data, pooling_param={"kernel_size": 3, "stride": 2})
    assert maps(pooled, n.data) == (1, [2], [1])


def test_crops_shift() -> None:
    n = net()
    cropped = L.Crop(n.deconv, n.data, axis=2, offset=3)
    assert maps(cropped, n.data) == (1, [1], [3])
    only_columns = L.Crop(n.deconv, n.data, axis=3, offset=3)
    with pytest.raises(AxisMismatchException, match="axes 2 and 1"):
        coord_map_from_to(only_columns, n.data)


def test_crop_makes_a_layer() -> None:
    n = net(pad=[2, 5], ks=[3, 3], stride=[1, 1])
    n.score = crop(n.deconv, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.type, list(layer.bottom)) == ("Crop", ["deconv", "data"])
    assert (layer.crop_param.axis, list(layer.crop_param.offset)) == (2, [2, 5])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"pool": 3}, r"scale mismatch on crop \(a = \[1.5\]\)"),
        ({"dpad": 10}, r"cannot crop negative offset \(b = \[10.\]\)"),
        ({"ks": 4, "pad": 1}, r"cannot crop noninteger offset \(b = \[-0.5\]\)"),
    ],
)
def test_what_no_crop_can_align(more: dict[str, Any], told: str) -> None:
    n = net(**more)
    with pytest.raises(AssertionError, match=told) as caught:
        crop(n.deconv, n.data)
    assert isinstance(caught.value, CropException)


def test_what_is_not_connected() -> None:
    n = net()
    for top in (
        L.InnerProduct(n.deconv, num_output=10),
        L.Pooling(n.deconv, global_pooling=True),
        L.Convolution(n.deconv, num_output=1),
        n.aux,
    ):
        with pytest.raises(RuntimeError, match="connected by spatial layers") as caught:
            coord_map_from_to(top, n.data)
        assert isinstance(caught.value, UnconnectedException) and isinstance(caught.value, NetError)


def test_maps_form_a_group() -> None:
    one, other = (1, np.array([2.0]), np.array([3.0])), (None, np.array([0.5, 4]), np.array([1.0]))
    axis, scale, shift = compose(one, other)
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1, 8], [5])
    axis, scale, shift = compose(one, inverse(one))
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1], [0])


def test_maps_are_caffes(goldens: Path) -> None:
    """The cases of which the layers' parameters follow from their names."""
    stored = json.loads((goldens / "pyapi" / "coord_map.json").read_text())
    n = net(ks=5, stride=2)
    plain = net()
    made = {
        "identity_relu": coord_map_from_to(L.ReLU(n.data), n.data),
        "conv_k5s2": coord_map_from_to(n.conv, n.data),
        "conv_pool": coord_map_from_to(n.pool, n.data),
        "conv_pool_deconv": coord_map_from_to(n.deconv, n.data),
        "pad3_k3": coord_map_from_to(L.Convolution(n.data, kernel_size=3, pad=3), n.data),
        "dilation": coord_map_from_to(L.Convolution(n.data, kernel_size=3, dilation=2), n.data),
        "crop": coord_map_from_to(L.Crop(plain.deconv, plain.data), plain.data),
    }
    for name, (axis, scale, shift) in made.items():
        assert {"axis": axis, "scale": scale.tolist(), "shift": shift.tolist()} == stored[name]
