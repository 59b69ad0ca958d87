"""Layers of the first form (V0: one flat message, types such as "conv") in the second form (V1).

Padding was a layer of its own then; it goes into the `pad` of the layer after it.
"""

from google.protobuf.message import Message

from minicaffe.errors import ParseError

from . import minicaffe_pb2 as pb

# V0 type -> V1 type
_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

# V0 type -> the message that holds its options in V1
_OPTIONS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

# V0 field -> its name among the options, and the V0 types that have it
_FIELDS = {
    "num_output": ("num_output", ("conv", "innerproduct")),
    "biasterm": ("bias_term", ("conv", "innerproduct")),
    "weight_filler": ("weight_filler", ("conv", "innerproduct")),
    "bias_filler": ("bias_filler", ("conv", "innerproduct")),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", ("data", "hdf5_data", "images", "window_data", "infogain_loss")),
    "batchsize": ("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}

# V0 field -> its name in transform_param, whatever the type
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}


def upgrade_v0(net: pb.NetParameter, source: str) -> list[str]:
    """Turn V0 layers in `net.layers` into V1 layers; return notes on what was lost."""
    fold_padding(net, source)
    notes = []
    for layer in net.layers:
        if layer.HasField("layer"):
            notes += _upgrade_layer(layer, source)
    return notes


def fold_padding(net: pb.NetParameter, source: str) -> None:
    """Remove "padding" layers; the one layer that reads each takes its pad and its bottom."""
    writers: dict[str, pb.V1LayerParameter | None] = dict.fromkeys(net.input)
    for layer in net.layers:
        name = layer.layer.name or layer.name
        for index, bottom in enumerate(layer.bottom):
            if bottom not in writers:
                raise ParseError(f"{source}: layer '{name}' reads unknown blob '{bottom}'")
            padding = writers[bottom]
            if padding is None or padding.layer.type != "padding":
                continue
            if layer.layer.type not in ("conv", "pool") or len(layer.bottom) != 1:
                raise ParseError(
                    f"{source}: padding layer '{padding.layer.name}' before layer '{name}': "
                    "only a conv or pool layer with one bottom can follow padding"
                )
            if len(padding.bottom) != 1 or len(padding.top) != 1:
                raise ParseError(
                    f"{source}: padding layer '{padding.layer.name}' needs one bottom and one top"
                )
            layer.layer.pad = padding.layer.pad
            layer.bottom[index] = padding.bottom[0]
        writers.update(dict.fromkeys(layer.top, layer))
    for index in reversed(range(len(net.layers))):
        if net.layers[index].layer.type == "padding":
            del net.layers[index]


def _upgrade_layer(layer: pb.V1LayerParameter, source: str) -> list[str]:
    old = layer.layer
    if old.HasField("type"):
        if old.type not in _TYPES:
            known = ", ".join([*_TYPES, "padding"])
            raise ParseError(
                f"{source}: layer '{old.name}': unknown V0 type '{old.type}' (known: {known})"
            )
        layer.type = getattr(pb.V1LayerParameter, _TYPES[old.type])
    lost = []
    for field, value in old.ListFields():
        if field.name == "name":
            layer.name = value
        elif field.name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(layer, field.name).MergeFrom(value)
        elif field.name in _TRANSFORM:
            setattr(layer.transform_param, _TRANSFORM[field.name], value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            layer.hdf5_output_param.CopyFrom(value)
        elif field.name in _FIELDS and old.type in _FIELDS[field.name][1]:
            _set(getattr(layer, _OPTIONS[old.type]), _FIELDS[field.name][0], value)
        elif field.name != "type":
            lost.append(field.name)
    notes = [f"layer '{old.name}' ({old.type}): ignored its {name}" for name in lost]
    layer.ClearField("layer")
    return notes


def _set(options: Message, name: str, value: object) -> None:
    """Set a field that is now a message, repeated (convolution's sizes), or a plain value."""
    if isinstance(value, Message):
        getattr(options, name).CopyFrom(value)
    elif isinstance(getattr(options, name), int | float | str):
        setattr(options, name, value)
    else:
        getattr(options, name).append(value)
