"""Nets and solvers of older versions of Caffe in today's form.

A net goes through the steps that apply: V0 layers, then V1 layers (`layers { type: CONVOLUTION }`)
with their data transformation, then inputs declared outside layers, then the statistics of
BatchNorm. Each function works in place and returns notes, one line for each thing it did.
"""

from os import PathLike
from pathlib import Path

from minicaffe.errors import ParseError

from . import minicaffe_pb2 as pb
from .upgrade_v0 import upgrade_v0

# V1 type -> today's
_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}

# V1 type -> its options, from which these fields move to transform_param
_DATA_OPTIONS = {
    pb.V1LayerParameter.DATA: "data_param",
    pb.V1LayerParameter.IMAGE_DATA: "image_data_param",
    pb.V1LayerParameter.WINDOW_DATA: "window_data_param",
}
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")

# V1 field, one entry a parameter blob -> its name in today's ParamSpec
_PARAM_SPEC = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


def upgrade_net(net: pb.NetParameter, source: str = "net") -> list[str]:
    """Bring a net to today's form; nothing happens to one that is.

    Raises ParseError, beginning with `source`, for a net that has both `layer` and `layers`, a V0
    type that never was, padding that no convolution or pooling follows, or inputs without extents.
    """
    if net.layer and net.layers:
        raise ParseError(
            f"{source}: has both 'layer' and 'layers'; write all as layer {{ type: \"...\" }}"
        )
    notes = []
    if any(layer.HasField("layer") for layer in net.layers):
        notes.append("upgraded V0 layers")
        notes += upgrade_v0(net, source)
    if net.layers:
        moved = [layer.name for layer in net.layers if _move_transformation(layer)]
        if moved:
            notes.append(f"moved the transformation of {', '.join(moved)} to transform_param")
        notes.append(f"upgraded {len(net.layers)} V1 layers")
        for old in net.layers:
            _upgrade_v1_layer(old, net.layer.add())
        net.ClearField("layers")
    if net.input:
        notes.append(_upgrade_input(net, source))
    frozen = [layer.name for layer in net.layer if _freeze_statistics(layer)]
    if frozen:
        notes.append(f"set lr_mult to 0 for the statistics of BatchNorm: {', '.join(frozen)}")
    return notes


def upgrade_solver(
    solver: pb.SolverParameter, path: str | PathLike[str] | None = None
) -> list[str]:
    """Bring a solver, and the nets within it, to today's form.

    With the `path` that it was read from, snapshot_prefix becomes that path without extension if
    it is unset, and gets the file's stem if it is a folder. Raises ParseError as `upgrade_net`
    does, and for a solver that has both `type` and `solver_type`.
    """
    source = "solver" if path is None else str(path)
    notes = []
    if solver.HasField("solver_type"):
        old = pb.SolverParameter.SolverType.Name(solver.solver_type)
        if solver.HasField("type"):
            raise ParseError(
                f'{source}: has both type: "{solver.type}" and the old solver_type: {old}'
            )
        solver.type = _SOLVER_TYPES[old]
        solver.ClearField("solver_type")
        notes.append(f'upgraded solver_type: {old} to type: "{solver.type}"')
    if path is not None:
        file = Path(path)
        prefix = None
        if not solver.HasField("snapshot_prefix"):
            prefix = file.with_suffix("")
        elif Path(solver.snapshot_prefix).is_dir():
            prefix = Path(solver.snapshot_prefix) / file.stem
        if prefix is not None:
            solver.snapshot_prefix = str(prefix)
            notes.append(f"snapshot_prefix is {prefix}")
    for name in ("net_param", "train_net_param"):
        if solver.HasField(name):
            notes += upgrade_net(getattr(solver, name), f"{source}: {name}")
    for net in solver.test_net_param:
        notes += upgrade_net(net, f"{source}: test_net_param")
    return notes


def _move_transformation(layer: pb.V1LayerParameter) -> bool:
    """Move the transformation out of a data layer's options; whether there was any."""
    if layer.type not in _DATA_OPTIONS:
        return False
    options = getattr(layer, _DATA_OPTIONS[layer.type])
    moved = [name for name in _TRANSFORM if options.HasField(name)]
    for name in moved:
        setattr(layer.transform_param, name, getattr(options, name))
        options.ClearField(name)
    return bool(moved)


def _upgrade_v1_layer(old: pb.V1LayerParameter, new: pb.LayerParameter) -> None:
    if old.HasField("type"):
        new.type = _TYPES[pb.V1LayerParameter.LayerType.Name(old.type)]
    for field, value in old.ListFields():
        if field.name == "name":
            new.name = value
        elif field.name != "type" and field.name not in _PARAM_SPEC:
            getattr(new, field.name).MergeFrom(value)
    for name, new_name in _PARAM_SPEC.items():
        for index, value in enumerate(getattr(old, name)):
            spec = new.param[index] if index < len(new.param) else new.param.add()
            setattr(spec, new_name, value)


def _upgrade_input(net: pb.NetParameter, source: str) -> str:
    """Inputs with extents become an Input layer; inputs without (old weights) go."""
    names = list(net.input)
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes:
        dims = list(net.input_dim)
        shapes = [dims[start : start + 4] for start in range(0, len(dims), 4)]
        if dims and len(dims) % 4:
            raise ParseError(f"{source}: {len(dims)} input_dim, but four are needed for each input")
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
    if not shapes:
        return f"dropped the inputs without extents: {', '.join(names)}"
    if len(shapes) < len(names):
        raise ParseError(f"{source}: {len(names)} inputs, but extents for {len(shapes)}")
    layer = pb.LayerParameter(name="input", type="Input", top=names)
    for shape in shapes[: len(names)]:
        layer.input_param.shape.add(dim=shape)
    net.layer.insert(0, layer)
    return f"declared the inputs {', '.join(names)} in an Input layer"


def _freeze_statistics(layer: pb.LayerParameter) -> bool:
    """BatchNorm's mean, variance and factor are not learned; whether the layer said otherwise."""
    if layer.type != "BatchNorm" or len(layer.param) != 3:
        return False
    learned = any(spec.lr_mult != 0 for spec in layer.param)
    for spec in layer.param:
        spec.lr_mult = spec.decay_mult = 0
    return learned
