"""Convolution and its kin, pooling, LRN, Crop, Embed, ArgMax: what the goldens do not say."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minicaffe.errors import LayerError
from tests.one_layer import OneLayer

Floats = NDArray[Any]


def eighths(*shape: int, seed: int = 0) -> Floats:
    """Numbers whose products and sums are exact in float32."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32) / 8


def numbers(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- convolution ---------------------------------------------------------------------------------


def convolved(
    x: Floats, weight: Floats, stride: int, pad: int, dilation: int, group: int
) -> Floats:
    """By its definition: a sum over taps for every place of every filter."""
    axes = x.ndim - 2
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0)] + [(pad, pad)] * axes)
    reach = [dilation * (k - 1) + 1 for k in weight.shape[2:]]
    out = [(n - r) // stride + 1 for n, r in zip(padded.shape[2:], reach, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *out))
    per_group = weight.shape[0] // group
    for o in range(weight.shape[0]):
        first = o // per_group * weight.shape[1]
        channels = slice(first, first + weight.shape[1])
        for place in itertools.product(*map(range, out)):
            window = tuple(
                slice(p * stride, p * stride + r, dilation)
                for p, r in zip(place, reach, strict=True)
            )
            seen = padded[(slice(None), channels, *window)]
            y[(slice(None), o, *place)] = (seen * weight[o]).reshape(len(x), -1).sum(axis=1)
    return y


GEOMETRIES = [
    # spatial extents, kernel, stride, pad, dilation, group
    ((), (), 1, 0, 1, 1),
    ((7,), (3,), 2, 1, 1, 1),
    ((5, 6), (3, 2), 1, 0, 1, 1),
    ((5, 6), (1, 1), 1, 0, 1, 2),
    ((7, 6), (3, 3), 2, 2, 2, 2),
    ((4, 3, 5), (2, 2, 3), 1, 1, 1, 1),
    ((4, 4, 5), (2, 2, 2), 2, 0, 1, 4),
]


def geometry_text(kernel: tuple[int, ...], stride: int, pad: int, dilation: int, group: int) -> str:
    sizes = " ".join(f"kernel_size: {k}" for k in kernel)
    return f"{sizes} stride: {stride} pad: {pad} dilation: {dilation} group: {group}"


@pytest.mark.parametrize(("extents", "kernel", "stride", "pad", "dilation", "group"), GEOMETRIES)
def test_convolution_is_its_definition(
    device: str, extents: Any, kernel: Any, stride: int, pad: int, dilation: int, group: int
) -> None:
    """Any number of spatial axes, exactly."""
    x = eighths(2, 4, *extents)
    text = geometry_text(kernel, stride, pad, dilation, group)
    case = OneLayer(
        f'type: "Convolution" convolution_param {{ num_output: 4 {text} }}', x, device=device
    )
    weight, bias = eighths(4, 4 // group, *kernel, seed=1), eighths(4, seed=2)
    case.set_blobs(weight, bias)
    expected = convolved(x, weight, stride, pad, dilation, group)
    expected += bias.reshape(-1, *[1] * len(extents))
    np.testing.assert_array_equal(case.forward(), expected)


@pytest.mark.parametrize(("extents", "kernel", "stride", "pad", "dilation", "group"), GEOMETRIES)
def test_deconvolution_is_the_transpose(
    device: str, extents: Any, kernel: Any, stride: int, pad: int, dilation: int, group: int
) -> None:
    """<conv(x), y> = <x, deconv(y)>, and backward of the one is forward of the other."""
    text = geometry_text(kernel, stride, pad, dilation, group)
    x, weight = eighths(2, 4, *extents), eighths(6 if group == 1 else 4, 4 // group, *kernel)
    conv = OneLayer(
        f'type: "Convolution" convolution_param {{ num_output: {len(weight)} bias_term: false '
        f"{text} }}",
        x,
        device=device,
    )
    conv.set_blobs(weight)
    y = eighths(*conv.forward().shape, seed=3)
    dx = conv.backward(y)[0]
    deconv = OneLayer(
        f'type: "Deconvolution" convolution_param {{ num_output: 4 bias_term: false {text} }}',
        y,
        device=device,
    )
    deconv.set_blobs(weight)
    up = deconv.forward()
    inside = tuple(slice(0, n) for n in up.shape)  # a stride may leave a rim out
    np.testing.assert_array_equal(up, dx[inside])
    x_inside = np.zeros_like(x)
    x_inside[inside] = x[inside]
    back = deconv.backward(x[inside])[0]
    np.testing.assert_array_equal(back, conv.forward(x_inside))


def test_im2col_holds_what_the_filters_see(device: str) -> None:
    """Filters times columns is the convolution; backward counts how often a pixel is seen."""
    x, weight = eighths(2, 3, 6, 5), eighths(4, 3, 3, 2, seed=1)
    text = "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1 pad_w: 1 }"
    case = OneLayer(f'type: "Im2col" {text}', x, device=device)
    columns = case.forward()
    assert columns.shape == (2, 18, 3, 3)
    product = np.einsum("ok,nkhw->nohw", weight.reshape(4, -1), columns)
    np.testing.assert_array_equal(product, convolved(x, weight, 2, 1, 1, 1))
    seen = case.backward(np.ones_like(columns))[0]
    assert seen.sum() == np.count_nonzero(case.forward(np.ones_like(x)))


BAD_CONVOLUTIONS = [
    ("num_output: 3", (1, 2, 5, 5), "kernel_size is given 0 times for 2 spatial axes"),
    ("num_output: 3 " + "kernel_size: 3 " * 3, (1, 2, 5, 5), "3 times for 2 spatial axes"),
    ("num_output: 3 kernel_size: 3 stride: 1 stride: 1", (1, 2, 5), "stride is given 2 times"),
    ("num_output: 3 kernel_size: 3 kernel_h: 3", (1, 2, 5, 5), "not both"),
    ("num_output: 3 kernel_h: 3", (1, 2, 5, 5), r"kernel \(3, 0\) must be positive"),
    ("num_output: 3 kernel_h: 3 kernel_w: 3", (1, 2, 5), "are for 2 spatial axes, not 1"),
    ("num_output: 3 kernel_size: 3 stride_h: 2", (1, 2, 5, 5), r"stride \(2, 0\)"),
    ("num_output: 3 kernel_size: 3 dilation: 0", (1, 2, 5, 5), r"dilation \(0, 0\)"),
    ("num_output: 3 kernel_size: 6", (1, 2, 5, 5), r"an image of \(5, 5\) gives an output of"),
    ("num_output: 3 kernel_size: 3 dilation: 3", (1, 2, 6, 6), r"kernel \(3, 3\).*dilation"),
    ("kernel_size: 3", (1, 2, 5, 5), "num_output must be given"),
    ("num_output: 3 kernel_size: 3 group: 2", (1, 2, 5, 5), "group 2 must divide"),
    ("num_output: 4 kernel_size: 3 group: 2", (1, 3, 5, 5), "group 2 must divide the 3 channels"),
    ("num_output: 3 kernel_size: 3 axis: 4", (1, 2, 5, 5), "axis 4 is outside"),
    ("num_output: 3 kernel_size: 3 engine: CUDNN", (1, 2, 5, 5), "engine CUDNN is not built in"),
]


@pytest.mark.parametrize(("text", "shape", "message"), BAD_CONVOLUTIONS)
def test_convolution_refuses(text: str, shape: tuple[int, ...], message: str) -> None:
    """The message names the layer, what was given and what is allowed."""
    with pytest.raises(LayerError, match=f"layer 'L' \\(Convolution\\): .*{message}"):
        OneLayer(f'type: "Convolution" convolution_param {{ {text} }}', np.zeros(shape))


def test_convolution_follows_the_image_but_not_its_channels(device: str) -> None:
    """Any batch and size between passes; other channels are refused."""
    case = OneLayer(
        'type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 }',
        np.zeros((1, 2, 5, 5)),
        device=device,
    )
    assert case.forward(np.zeros((3, 2, 9, 4))).shape == (3, 2, 7, 2)
    assert case.forward(np.zeros((0, 2, 5, 5))).shape == (0, 2, 3, 3)
    with pytest.raises(LayerError, match="2 channels along axis 1"):
        case.forward(np.zeros((1, 3, 5, 5)))


# --- inner product and embedding -----------------------------------------------------------------


def test_inner_product_transposed(device: str) -> None:
    """A transposed weight gives the same outputs and the transposed gradient."""
    x, weight, bias = eighths(3, 4, 2), eighths(5, 8, seed=1), eighths(5, seed=2)
    outputs = []
    for flag, values in (("false", weight), ("true", weight.T)):
        case = OneLayer(
            f'type: "InnerProduct" inner_product_param {{ num_output: 5 transpose: {flag} }}',
            x,
            device=device,
        )
        case.set_blobs(values, bias)
        y = case.forward()
        dx = case.backward(y)[0]
        dweight = np.array(case.layer.blobs[0].diff)
        outputs.append((y, dx, dweight.T if flag == "true" else dweight))
    for straight, transposed in zip(*outputs, strict=True):
        np.testing.assert_array_equal(straight, transposed)
    np.testing.assert_array_equal(outputs[0][0], x.reshape(3, 8) @ weight.T + bias)


def test_inner_product_keeps_its_inputs() -> None:
    """Other numbers of samples are fine, other numbers of inputs are not."""
    case = OneLayer('type: "InnerProduct" inner_product_param { num_output: 5 }', np.zeros((2, 6)))
    assert case.forward(np.zeros((7, 3, 2))).shape == (7, 5)
    with pytest.raises(LayerError, match="has 5 values a sample, the weight is for 6"):
        case.forward(np.zeros((2, 5)))


@pytest.mark.parametrize("value", [4, -2, np.nan, 1e12])
def test_embed_names_an_index_outside_the_table(device: str, value: float) -> None:
    """Caffe reads foreign memory there."""
    case = OneLayer(
        'type: "Embed" embed_param { num_output: 2 input_dim: 4 }', np.zeros((3, 2)), device=device
    )
    index = np.zeros((3, 2))
    index[1, 1] = value
    with pytest.raises(LayerError, match=r"index .* of sample 1 at \(1,\) is not in 0 \.\. 3"):
        case.forward(index)


@pytest.mark.parametrize("bias", ["true", "false"])
def test_embed_has_no_vector_for_no_word(device: str, bias: str) -> None:
    case = OneLayer(
        'type: "Embed" embed_param { num_output: 2 input_dim: 3 weight_filler { type: "xavier" }'
        f" bias_filler {{ value: 7 }} bias_term: {bias} }}",
        [2, -1, 0, -1],
        device=device,
    )
    weight = np.array(case.layer.blobs[0].data)
    offset = np.float32(7 if bias == "true" else 0)
    y = case.forward()
    np.testing.assert_array_equal(
        y, [weight[2] + offset, [offset] * 2, weight[0] + offset, [offset] * 2]
    )
    case.backward(np.arange(8).reshape(4, 2), wanted=0)
    np.testing.assert_array_equal(np.array(case.layer.blobs[0].diff), [[4, 5], [0, 0], [0, 1]])


def test_embed_adds_up_repeated_indices(device: str) -> None:
    """Gradients accumulate, within a pass and over passes."""
    case = OneLayer(
        'type: "Embed" embed_param { num_output: 2 input_dim: 4 }', [1, 3, 1.9], device=device
    )
    for _ in range(2):
        case.forward()
        case.backward(np.ones((3, 2)), wanted=0)
    weight, bias = (np.array(blob.diff) for blob in case.layer.blobs)
    np.testing.assert_array_equal(weight[:, 0], [0, 4, 0, 2])
    np.testing.assert_array_equal(bias, [6, 6])


# --- pooling -------------------------------------------------------------------------------------


def test_pooling_mask_points_at_the_maxima(device: str) -> None:
    """The second top holds h * W + w of the first maximum in each window."""
    x = eighths(2, 3, 7, 6)
    text = 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 pad: 1 }'
    case = OneLayer(text, x, device=device, tops=2)
    y, mask = case.forward(), np.array(case.top[1].data)
    assert mask.shape == y.shape
    flat = x.reshape(2, 3, 42)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, mask.reshape(2, 3, -1).astype(int), 2).reshape(y.shape), y
    )
    dx = case.backward(np.ones_like(y))[0]
    counts = [np.bincount(m.astype(int), minlength=42) for m in mask.reshape(6, -1)]
    np.testing.assert_array_equal(dx.reshape(6, 42), counts)


def test_a_window_outside_the_image_has_no_gradient(device: str) -> None:
    """Caffe writes to foreign memory there."""
    text = 'type: "Pooling" pooling_param { kernel_size: 1 stride: 3 }'
    case = OneLayer(text, np.ones((1, 1, 6, 6)), device=device)
    y = case.forward()
    assert y.shape == (1, 1, 3, 3)
    assert y[0, 0, 2, 2] == np.finfo(np.float32).min
    assert case.backward(np.ones_like(y))[0].sum() == 4


def test_global_pooling_follows_the_image(device: str) -> None:
    """The window is the whole plane, whatever its size."""
    case = OneLayer(
        'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
        np.ones((1, 2, 3, 4)),
        device=device,
    )
    for extents in ((3, 4), (5, 2)):
        x = eighths(2, 2, *extents)
        np.testing.assert_allclose(case.forward(x)[..., 0, 0], x.mean(axis=(2, 3)), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give kernel_size, or both"),
        ("kernel_h: 2", "give kernel_size, or both"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "give kernel_size, or both"),
        ("kernel_size: 0", r"kernel \(0, 0\) must be positive"),
        ("kernel_size: 2 stride: 0", r"stride \(0, 0\) must be positive"),
        ("kernel_size: 2 stride_h: 2", "give stride, or both stride_h and stride_w"),
        ("kernel_size: 2 pad: 1 pad_h: 1 pad_w: 1", "give pad, or both"),
        ("kernel_size: 2 pad: 2", r"pad \(2, 2\) must be smaller than the kernel"),
        ("global_pooling: true kernel_size: 2", "give no kernel size"),
        ("global_pooling: true stride: 2", "pad 0 and stride 1"),
        ("kernel_size: 9 round_mode: FLOOR", r"an image of \(4, 4\) does not fit"),
        ("kernel_size: 2 pool: STOCHASTIC", "STOCHASTIC is not built in"),
        ("kernel_size: 2 engine: CUDNN", "CUDNN"),
    ],
)
def test_pooling_refuses(text: str, message: str) -> None:
    """The message names the layer, what was given and what is allowed."""
    with pytest.raises(LayerError, match=f"layer 'L' \\(Pooling\\): .*{message}"):
        OneLayer(f'type: "Pooling" pooling_param {{ {text} }}', np.zeros((1, 1, 4, 4)))


def test_only_max_has_a_mask() -> None:
    """A second top of AVE is refused."""
    with pytest.raises(LayerError, match="only MAX has a second top"):
        text = 'type: "Pooling" pooling_param { kernel_size: 2 pool: AVE }'
        OneLayer(text, np.zeros((1, 1, 4, 4)), tops=2)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_spp_gives_one_length_for_all_images(device: str, pool: str) -> None:
    """1 + 4 + 16 values a channel; the gradient of each level is summed."""
    text = f'type: "SPP" spp_param {{ pyramid_height: 3 pool: {pool} }}'
    case = OneLayer(text, np.zeros((1, 2, 8, 8)), device=device)
    for extents in ((8, 8), (9, 13), (4, 7)):
        x = eighths(2, 2, *extents)
        y = case.forward(x)
        assert y.shape == (2, 42)
        dx = case.backward(np.ones_like(y))[0]
        if pool == "MAX":
            np.testing.assert_array_equal(y[:, :2], x.max(axis=(2, 3)))
            assert dx.sum() == 2 * 42


# --- local response normalization ----------------------------------------------------------------


def window_sums(x: Floats, axes: tuple[int, ...], size: int) -> Floats:
    for axis in axes:
        moved = np.moveaxis(x, axis, 0)
        summed = [
            moved[max(0, i - size // 2) : i + size // 2 + 1].sum(axis=0) for i in range(len(moved))
        ]
        x = np.moveaxis(np.array(summed), 0, axis)
    return x


@pytest.mark.parametrize("beta", [0.75, 0.5, 1.3])
@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize(
    ("region", "axes"), [("ACROSS_CHANNELS", (1,)), ("WITHIN_CHANNEL", (2, 3))]
)
def test_lrn_is_its_formula(
    device: str, region: str, axes: tuple[int, ...], size: int, beta: float
) -> None:
    """Windows smaller and larger than the image, both regions, forward and backward."""
    x = numbers(2, 5, 4, 7)
    dy = numbers(2, 5, 4, 7, seed=1)
    text = f"local_size: {size} alpha: 0.7 beta: {beta} k: 1 norm_region: {region}"
    case = OneLayer(f'type: "LRN" lrn_param {{ {text} }}', x, device=device)
    mean = 0.7 / size ** len(axes)
    wide, dwide = x.astype(np.float64), dy.astype(np.float64)
    scale = 1 + mean * window_sums(wide**2, axes, size)
    y = wide * scale**-beta
    np.testing.assert_allclose(case.forward(), y, rtol=2e-6, atol=1e-7)
    shared = window_sums(dwide * y / scale, axes, size)
    dx = dwide * scale**-beta - 2 * beta * mean * wide * shared
    np.testing.assert_allclose(case.backward(dy)[0], dx, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("local_size: 4", (1, 2, 3, 3), "local_size 4 must be odd"),
        ("", (2, 3), "must have 4 axes"),
        ("engine: CUDNN", (1, 2, 3, 3), "CUDNN"),
    ],
)
def test_lrn_refuses(text: str, shape: tuple[int, ...], message: str) -> None:
    """The message names the layer, what was given and what is allowed."""
    with pytest.raises(LayerError, match=f"layer 'L' \\(LRN\\): .*{message}"):
        OneLayer(f'type: "LRN" lrn_param {{ {text} }}', np.zeros(shape))


# --- crop and argmax -----------------------------------------------------------------------------


def test_crop_puts_the_gradient_back(device: str) -> None:
    """Zero around it; the blob that gives the size receives zeros."""
    x, size = eighths(2, 3, 5, 6), np.zeros((1, 1, 2, 3))
    case = OneLayer('type: "Crop" crop_param { offset: 2 offset: 1 }', x, size, device=device)
    y = case.forward()
    np.testing.assert_array_equal(y, x[:, :, 2:4, 1:4])
    dx, dsize = case.backward(y, wanted=2)
    expected = np.zeros_like(x)
    expected[:, :, 2:4, 1:4] = y
    np.testing.assert_array_equal(dx, expected)
    assert not dsize.any()


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("offset: 1 offset: 2 offset: 3", (1, 1, 2, 2), "offset is given 3 times for 2 axes"),
        ("offset: 4", (1, 1, 2, 2), "axis 2: a part of 2 from 4 on is not inside the extent 5"),
        ("axis: 1", (1, 4, 2, 2), "axis 1: a part of 4 from 0 on"),
        ("axis: 4", (1, 1, 2, 2), "axis 4 is outside"),
        ("", (2, 2), "fewer axes than bottom 0"),
    ],
)
def test_crop_refuses(text: str, size: tuple[int, ...], message: str) -> None:
    """The message names the layer, what was given and what is allowed."""
    with pytest.raises(LayerError, match=f"layer 'L' \\(Crop\\): .*{message}"):
        OneLayer(f'type: "Crop" crop_param {{ {text} }}', np.zeros((1, 3, 5, 6)), np.zeros(size))


def test_argmax_of_equal_scores(device: str) -> None:
    """The larger index comes first; NaN comes last; -inf and inf are scores."""
    x = np.array([[1, 3, 3, np.nan], [np.inf, -np.inf, np.inf, 0], [0, 0, 0, 0]])
    case = OneLayer('type: "ArgMax" argmax_param { top_k: 3 axis: 1 }', x, device=device)
    np.testing.assert_array_equal(case.forward(), [[2, 1, 0], [2, 0, 3], [3, 2, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [("top_k: 0", "at least 1"), ("top_k: 5 axis: 1", "more than the 4"), ("axis: 2", "outside")],
)
def test_argmax_refuses(text: str, message: str) -> None:
    """The message names the layer, what was given and what is allowed."""
    with pytest.raises(LayerError, match=f"layer 'L' \\(ArgMax\\): .*{message}"):
        OneLayer(f'type: "ArgMax" argmax_param {{ {text} }}', np.zeros((2, 4)))


def test_input_needs_one_shape_or_one_a_top() -> None:
    """Two shapes for three tops are refused."""
    shapes = "shape { dim: 1 } shape { dim: 2 }"
    with pytest.raises(LayerError, match="shape is given 2 times for 3 tops"):
        OneLayer(f'type: "Input" input_param {{ {shapes} }}', tops=3)


def test_split_sums_from_the_first_to_the_last(device: str) -> None:
    """In float32 the order shows: (1 + 1e8) - 1e8 = 0."""
    case = OneLayer('type: "Split"', np.zeros(3), device=device, tops=3)
    case.forward()
    case.top[1].diff[...] = 1e8
    case.top[2].diff[...] = -1e8
    np.testing.assert_array_equal(case.backward(np.ones(3))[0], np.zeros(3))
    assert math.prod(case.top[2].shape) == 3
