"""ONNX models compute what their nets compute, as onnxruntime sees it."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.cli import main
from minicaffe.errors import LayerError, MissingExtra, NetError
from minicaffe.layer import known_types
from minicaffe.layer_example import example_net, needs_files
from minicaffe.net.net import Net
from minicaffe.onnx_export import Difference, compare, supported_types, to_onnx
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import parse_text

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# What trains, keeps its state from one forward to the next, or makes shapes of data
WITHOUT = {
    "Accuracy", "ContrastiveLoss", "EuclideanLoss", "Filter", "HingeLoss", "InfogainLoss", "LSTM",
    "MultinomialLogisticLoss", "RNN", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss",
}  # fmt: skip
REFUSED = {"DummyData", "Silence"}  # their docstrings' examples: random values, no output


def build(text: str | pb.NetParameter, phase: int = minicaffe.TEST) -> Net:
    """A net, its parameters random where they are all equal."""
    param = parse_text(text, pb.NetParameter()) if isinstance(text, str) else text
    minicaffe.set_random_seed(7)
    net = Net(param, phase, device="reference")
    rng = np.random.default_rng(3)
    for blob in net.flat_params.blobs:
        if np.ptp(np.asarray(blob.data)) == 0:
            blob.data[...] = rng.uniform(0.2, 1.2, blob.shape)
    return net


def inputs(**shapes: tuple[int, ...]) -> str:
    """Input layers."""
    return "\n".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{'
        + "".join(f" dim: {dim}" for dim in shape)
        + " } } }"
        for name, shape in shapes.items()
    )


def layer(kind: str, params: str = "", bottom: str = "x", top: str = "y", name: str = "L") -> str:
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    tops = " ".join(f'top: "{each}"' for each in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {params} }}\n'


def agrees(net: Net, tolerance: float = 2e-6) -> Any:
    """The model, if it gives what the net gives."""
    model = to_onnx(net)
    for difference in compare(net, model):
        assert difference.relative <= tolerance, difference
    return model


# --- layers --------------------------------------------------------------------------------------


def test_what_has_a_form_and_what_has_none() -> None:
    from_files = {name for name in known_types() if needs_files(name)}
    assert set(known_types()) - set(supported_types()) == WITHOUT | from_files


@pytest.mark.parametrize("layer_type", sorted(set(supported_types()) - REFUSED))
def test_the_example_of_each_layer(layer_type: str) -> None:
    agrees(build(example_net(layer_type)))


CONVOLUTION = "convolution_param { num_output: 4 weight_filler { type: 'gaussian' } "
IMAGE = {"x": (2, 4, 7, 6)}
CASES = {
    "grouped": (IMAGE, "Convolution", CONVOLUTION + "kernel_size: 3 group: 2 bias_term: false }"),
    "dilated": (IMAGE, "Convolution", CONVOLUTION + "kernel_size: 2 dilation: 3 pad: 2 }"),
    "rectangle": (
        IMAGE,
        "Convolution",
        CONVOLUTION + "kernel_h: 1 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1 }",
    ),
    "1-d": ({"x": (2, 3, 9)}, "Convolution", CONVOLUTION + "kernel_size: 3 stride: 2 }"),
    "3-d": (
        {"x": (1, 2, 4, 5, 3)},
        "Convolution",
        CONVOLUTION + "kernel_size: 2 kernel_size: 3 kernel_size: 1 pad: 1 pad: 0 pad: 1 }",
    ),
    "0-d": ({"x": (5, 3)}, "Convolution", CONVOLUTION + "}"),
    "axis 2": ({"x": (2, 3, 2, 5, 4)}, "Convolution", CONVOLUTION + "kernel_size: 3 axis: 2 }"),
    "deconvolution in groups": (
        IMAGE,
        "Deconvolution",
        CONVOLUTION + "kernel_size: 4 stride: 2 pad: 1 group: 2 dilation: 2 }",
    ),
    "deconvolution 1-d": ({"x": (2, 3, 5)}, "Deconvolution", CONVOLUTION + "kernel_size: 3 }"),
    "im2col": (IMAGE, "Im2col", "convolution_param { kernel_size: 2 kernel_size: 3 axis: 1 }"),
    "im2col after axis 2": ({"x": (2, 1, 3, 5)}, "Im2col", "convolution_param { kernel_size: 2 "
                             "axis: 2 }"),
    "transposed": (
        IMAGE,
        "InnerProduct",
        "inner_product_param { num_output: 3 transpose: true weight_filler { type: 'gaussian' } }",
    ),
    "product along the last axis": (
        IMAGE,
        "InnerProduct",
        "inner_product_param { num_output: 3 axis: -1 bias_term: false "
        "weight_filler { type: 'gaussian' } }",
    ),
    "overlapping maxima": (IMAGE, "Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    "means": (IMAGE, "Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    "means that stick out": (IMAGE, "Pooling", "pooling_param { pool: AVE kernel_size: 4 "
                             "stride: 3 }"),
    "means rounded down": (IMAGE, "Pooling", "pooling_param { pool: AVE kernel_size: 4 stride: 3 "
                           "round_mode: FLOOR }"),
    "global mean": (IMAGE, "Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "empty windows": ({"x": (1, 2, 5, 4)}, "Pooling", "pooling_param { kernel_size: 1 stride: 6 }"),
    "empty means": ({"x": (1, 2, 5, 4)}, "Pooling", "pooling_param { pool: AVE kernel_size: 1 "
                    "stride: 6 }"),
    "pyramid of means": (IMAGE, "SPP", "spp_param { pyramid_height: 3 pool: AVE }"),
    "pyramid of one level": (IMAGE, "SPP", "spp_param { pyramid_height: 1 }"),
    "LRN with k": (IMAGE, "LRN", "lrn_param { local_size: 5 alpha: 2 beta: 0.5 k: 1.5 }"),
    "LRN within": (IMAGE, "LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }"),
    "BatchNorm of 2 axes": ({"x": (4, 3)}, "BatchNorm", "batch_norm_param { eps: 0.1 }"),
    "BatchNorm by the batch": (IMAGE, "BatchNorm", "batch_norm_param { use_global_stats: false }"),
    "MVN of images": (IMAGE, "MVN", "mvn_param { across_channels: true eps: 0.1 }"),
    "MVN of the mean": (IMAGE, "MVN", "mvn_param { normalize_variance: false }"),
    "softmax of axis -1": (IMAGE, "Softmax", "softmax_param { axis: -1 }"),
    "shared slope": (IMAGE, "PReLU", "prelu_param { channel_shared: true }"),
    "slopes of rows": ({"x": (4, 3)}, "PReLU", ""),
    "leaky": (IMAGE, "ReLU", "relu_param { negative_slope: 0.3 }"),
    "square": (IMAGE, "Power", "power_param { power: 2 shift: -0.5 }"),
    "root": (IMAGE, "Power", "power_param { power: 0.5 scale: 2 }"),
    "constant power": (IMAGE, "Power", "power_param { power: 0 shift: 3 }"),
    "affine": (IMAGE, "Power", "power_param { scale: 3 shift: -1 }"),
    "nothing at all": (IMAGE, "Power", ""),
    "base 2": (IMAGE, "Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "natural logarithm": (IMAGE, "Log", "log_param { scale: 0.1 shift: 5 }"),
    "a scalar scale": (IMAGE, "Scale", "scale_param { axis: 0 num_axes: 0 bias_term: true }"),
    "a scale of two axes": (IMAGE, "Scale", "scale_param { axis: 1 num_axes: 2 }"),
    "a scale that is a bottom": (
        {"x": (2, 3, 4), "s": (2, 3)},
        "Scale",
        "scale_param { axis: 0 bias_term: true }",
    ),
    "a scale from the last axis": ({"x": (2, 3, 4)}, "Scale", "scale_param { axis: -1 }"),
    "a bias that is a bottom": ({"x": (2, 3, 4), "b": (4,)}, "Bias", "bias_param { axis: 2 }"),
    "weighted sum": (
        {"x": (2, 3), "a": (2, 3), "b": (2, 3)},
        "Eltwise",
        "eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }",
    ),
    "product of three": (
        {"x": (2, 3), "a": (2, 3), "b": (2, 3)},
        "Eltwise",
        "eltwise_param { operation: PROD }",
    ),
    "maximum": ({"x": (2, 3), "a": (2, 3)}, "Eltwise", "eltwise_param { operation: MAX }"),
    "lone bottom": ({"x": (2, 3)}, "Concat", ""),
    "concat on the last axis": ({"x": (2, 3), "a": (2, 1)}, "Concat", "concat_param { axis: -1 }"),
    "first axes flattened": (IMAGE, "Flatten", "flatten_param { axis: 0 end_axis: 2 }"),
    "axis appended": (IMAGE, "Reshape", "reshape_param { axis: -1 shape { dim: 1 } num_axes: 0 }"),
    "tiles": (IMAGE, "Tile", "tile_param { axis: 0 tiles: 3 }"),
    "sum of all": (IMAGE, "Reduction", ""),
    "magnitudes": (IMAGE, "Reduction", "reduction_param { operation: ASUM axis: 2 coeff: 3 }"),
    "mean": (IMAGE, "Reduction", "reduction_param { operation: MEAN axis: -1 }"),
    "places of the best": (IMAGE, "ArgMax", "argmax_param { top_k: 3 axis: 1 }"),
    "the best": (IMAGE, "ArgMax", "argmax_param { top_k: 2 axis: -1 out_max_val: true }"),
    "the best of all": (IMAGE, "ArgMax", "argmax_param { top_k: 2 }"),
    "places and values": (IMAGE, "ArgMax", "argmax_param { top_k: 4 out_max_val: true }"),
    "crop at one offset": (
        {"x": (2, 3, 5, 6), "like": (2, 2, 3, 4)},
        "Crop",
        "crop_param { axis: 1 offset: 1 }",
    ),
    "no bias": (
        {"index": (2, 3)},
        "Embed",
        "embed_param { num_output: 4 input_dim: 5 bias_term: false "
        "weight_filler { type: 'gaussian' } }",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_parameters_of_layers(case: str) -> None:
    shapes, kind, params = CASES[case]
    agrees(build(inputs(**shapes) + layer(kind, params, bottom=" ".join(shapes))), 5e-6)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("rounding", ["CEIL", "FLOOR"])
def test_pooling_windows_on_a_grid(pool: str, rounding: str) -> None:
    """Many sizes in one net: Caffe's number of windows, and its divisors."""
    rng = np.random.default_rng(5)
    text, made = inputs(x=(1, 2, 11, 8)), 0
    while made < 40:
        (kernel_h, kernel_w), stride = rng.integers(1, 7, 2), rng.integers(1, 6, 2)
        pad_h, pad_w = rng.integers(0, kernel_h), rng.integers(0, kernel_w)
        made += 1
        text += layer(
            "Pooling",
            f"pooling_param {{ pool: {pool} round_mode: {rounding} kernel_h: {kernel_h}"
            f" kernel_w: {kernel_w} stride_h: {stride[0]} stride_w: {stride[1]} pad_h: {pad_h}"
            f" pad_w: {pad_w} }}",
            top=f"y{made}",
            name=f"L{made}",
        )
    agrees(build(text), 1e-6)


def test_the_mask_of_pooling() -> None:
    text = inputs(**IMAGE) + layer(
        "Pooling", "pooling_param { kernel_size: 3 stride: 2 }", top="y mask"
    )
    net = build(text)
    model = to_onnx(net)
    assert [each.largest for each in compare(net, model)] == [0, 0]


def test_of_equal_scores_the_last_wins() -> None:
    net = build(inputs(x=(1, 6)) + layer("ArgMax", "argmax_param { top_k: 3 }"))
    session = onnxruntime.InferenceSession(to_onnx(net).SerializeToString())
    scores = np.array([[2, 5, 5, 1, 5, 2]], np.float32)
    net.blob_dict["x"].data[...] = scores
    net.forward_pass()
    (given,) = session.run(["y"], {"x": scores})
    assert given.tolist() == np.asarray(net.blob_dict["y"].data).tolist() == [[[4, 2, 1]]]


# --- graphs --------------------------------------------------------------------------------------

SMALL = inputs(x=(2, 3)) + layer(
    "InnerProduct",
    "inner_product_param { num_output: 3 weight_filler { type: 'gaussian' } }",
    top="a",
    name="ip",
)


def test_values_have_the_names_of_blobs_also_behind_layers_in_place() -> None:
    net = build(
        SMALL
        + layer("ReLU", "", "a", "a", "r")
        + layer("Dropout", "", "a", "a", "d")
        + layer("Scale", "scale_param { bias_term: true }", "a", "a", "s")
        + layer("TanH", "", "a", "t", "t")
        + layer("Sigmoid", "", "a", "g", "g")
        + layer("Split", "", "g", "u v", "user_split")
    )
    model = agrees(net)
    made = [name for node in model.graph.node for name in node.output]
    assert len(made) == len(set(made))
    assert [node.op_type for node in model.graph.node] == [
        "Gemm", "Relu", "Mul", "Add", "Tanh", "Sigmoid", "Identity", "Identity",
    ]  # fmt: skip
    assert {"a", "g", "t", "u", "v"} <= set(made)
    assert [each.name for each in model.graph.output] == ["t", "u", "v"]
    scaled = next(node for node in model.graph.node if node.op_type == "Add")
    assert list(scaled.output) == ["a"]  # the blob's last value has its name


def test_shared_parameters_are_stored_once() -> None:
    shared = (
        "inner_product_param { num_output: 3 bias_term: false weight_filler { type: 'gaussian' } }"
        " param { name: 'w' }"
    )
    net = build(
        inputs(x=(2, 3))
        + layer("InnerProduct", shared, "x", "a", "one")
        + layer("InnerProduct", shared, "a", "b", "two")
    )
    assert len(agrees(net).graph.initializer) == 1


def test_the_model_tells_what_it_is() -> None:
    model = to_onnx(build("name: 'small'" + SMALL))
    assert model.ir_version == 7
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    assert (model.producer_name, model.producer_version) == ("minicaffe", minicaffe.__version__)
    assert model.graph.name == "small"
    (given,) = model.graph.input
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim] == [2, 3]


@pytest.mark.parametrize(
    ("text", "phase", "error", "says"),
    [
        (
            SMALL + layer("EuclideanLoss", "", "a x", "loss", "e"),
            minicaffe.TEST,
            NetError,
            r"no ONNX form for layer 'e' \(EuclideanLoss\); there is one for: AbsVal, .*Tile$",
        ),
        (
            SMALL + layer("Dropout", "", "a", "a", "d"),
            minicaffe.TRAIN,
            LayerError,
            r"'d' \(Dropout\): drops at random in phase TRAIN",
        ),
        (SMALL + layer("Silence", "", "a", "", "s"), minicaffe.TEST, NetError, "has no outputs"),
        (
            layer("DummyData", "dummy_data_param { shape { dim: 2 } data_filler "
                  "{ type: 'gaussian' } }", ""),
            minicaffe.TEST,
            LayerError,
            "makes random values",
        ),
        (
            inputs(x=(1, 1, 5, 4))
            + layer("Pooling", "pooling_param { kernel_size: 1 stride: 6 }", "x", "y mask"),
            minicaffe.TEST,
            LayerError,
            "no place for the maximum of an empty window",
        ),
        (inputs(x=(0, 3)) + layer("ReLU"), minicaffe.TEST, NetError, "blob 'x' is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused(
    text: str, phase: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        to_onnx(build(text, phase))


def test_constants_of_dummy_data() -> None:
    filler = "dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 4 } }"
    net = build(
        inputs(x=(2, 3))
        + layer("DummyData", filler, "", "c", "c")
        + layer("Eltwise", "", "x c", "y", "e")
    )
    agrees(net)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_missing_libraries_are_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(SMALL)
    model = to_onnx(net)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=f"needs {library}: pip install"):
        compare(net, model)
        to_onnx(net)


# --- trained models and the command --------------------------------------------------------------

MODELS = [
    ("lenet", "lenet", "lenet_iter_10000"),
    ("cifar10", "cifar10_quick", "cifar10_quick_iter_5000"),
    ("cifar10", "cifar10_full", "cifar10_full_iter_70000"),
    ("mtcnn", "det1", "det1"),
    ("mtcnn", "det2", "det2"),
    ("mtcnn", "det3", "det3"),
    ("mtcnn", "det4", "det4"),
    ("squeezenet_v1.0", "SqueezeNet_deploy", "squeezenet_decoded"),
    ("wechat_qrcode", "sr", "sr"),
]


@pytest.mark.parametrize(("folder", "net", "weights"), MODELS, ids=lambda name: name)
def test_trained_models(shared: Path, folder: str, net: str, weights: str) -> None:
    where = shared / "data" / "models" / folder
    param = read_net(where / f"{net}.prototxt")
    for each in param.layer:
        if each.type == "Input":
            for shape in each.input_param.shape:
                shape.dim[0] = 2 if shape.dim[-1] < 100 else 1
    loaded = minicaffe.Net(
        param,  # type: ignore[arg-type]
        minicaffe.TEST,
        weights=str(where / f"{weights}.caffemodel"),
        device="reference",
    )
    agrees(loaded, 1e-5)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a net and its weights, which is the current one."""
    (tmp_path / "net.prototxt").write_text(SMALL)
    net = minicaffe.Net(str(tmp_path / "net.prototxt"), minicaffe.TEST)
    net.save(str(tmp_path / "net.caffemodel"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ["export", "--onnx", "out.onnx", "-model=net.prototxt", "-weights=net.caffemodel"]


def test_the_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == 0
    assert re.fullmatch(
        r"largest difference between onnxruntime and minicaffe: \S+ \(\S+ of the largest value\)"
        r" in 'a'\nout.onnx: 1 nodes, 12 parameters, opset 13, IR version 7\n"
        r"  input x: float32, 2 x 3\n  output a: float32, 2 x 3\n",
        capsys.readouterr().out,
    )
    onnx.checker.check_model(onnx.load("out.onnx"), full_check=True)
    assert {path.name for path in project.iterdir()} == {
        "net.prototxt", "net.caffemodel", "out.onnx",
    }  # fmt: skip


def test_a_model_that_differs_is_not_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [Difference("b", 0.0, 0.0), Difference("a", 0.5, 0.01)]
    monkeypatch.setattr("minicaffe.onnx_export.compare", lambda net, model: wrong)
    assert main(WORDS) == 1
    says = "differs from the net by 0.5 (0.01 of the largest value) in 'a': nothing was written"
    assert says in capsys.readouterr().err
    assert not (project / "out.onnx").exists()


def test_the_command_without_onnxruntime(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(WORDS) == 0
    assert capsys.readouterr().out.startswith("not compared with the net: onnxruntime is not inst")
    assert (project / "out.onnx").exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["export"], 2, "a file to write must be named: -onnx FILE"),
        (["export", "-onnx=o"], 2, "a net must be named: -model FILE"),
        (["export", "-onnx=o", "-model=n"], 2, "its weights must be named: -weights FILE"),
        ([*WORDS[:2], "gone/out.onnx", *WORDS[3:]], 1, "gone/out.onnx: cannot be written"),
    ],
)
def test_usage(
    project: Path, words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert says in capsys.readouterr().err
