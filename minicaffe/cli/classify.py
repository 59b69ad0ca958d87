"""Classify pictures: minicaffe classify NET WEIGHTS MEAN LABELS PICTURE...

As Caffe's cpp_classification: for each picture the five best classes and their scores. MEAN is a
.binaryproto, of which the means of the channels are taken, or these themselves: 104,117,123.
"""

import argparse
from typing import TYPE_CHECKING, Any

from ._commands import Parser
from ._net_flags import add_device_flags, choose_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..pycaffe.net import Net


def configure(parser: Parser) -> None:
    """Caffe's arguments, in its order; any number of pictures."""
    parser.add_argument("net", help="the net's prototxt, with one input and one output")
    parser.add_argument("weights", help="the .caffemodel")
    parser.add_argument("mean", help="the mean's .binaryproto, or a value a channel: 104,117,123")
    parser.add_argument("labels", help="a file with the name of a class on each line")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files")
    parser.flag("scale", "what inputs are multiplied by (default 1)", type=float, default=1.0)
    parser.flag("top", "how many classes to show (default 5)", type=int, default=5)
    add_device_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Print the best classes of each picture."""
    import numpy as np

    from .. import TEST
    from ..data.image_list import read_lines
    from ..errors import DataError, NetError
    from ..pycaffe.net import Net

    choose_device(args)
    net = Net(args.net, TEST, weights=args.weights)
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        raise NetError(
            f"a net with one input and one output is needed, this has inputs"
            f" {', '.join(net.inputs) or 'none'} and outputs {', '.join(net.outputs) or 'none'}"
        )
    channels = net.blobs[net.inputs[0]].channels
    if channels not in (1, 3):
        raise NetError(f"the input '{net.inputs[0]}' has {channels} channels, not 1 or 3")
    labels = read_lines(args.labels, errors="replace")
    if len(labels) != net.blobs[net.outputs[0]].channels:
        raise DataError(
            f"{args.labels} has {len(labels)} lines,"
            f" the net scores {net.blobs[net.outputs[0]].channels} classes"
        )
    mean = channel_means(args.mean, channels)
    for path in args.pictures:
        scores = scores_of(net, path, mean, args.scale)
        print(f"---------- Prediction for {path} ----------")
        for best in np.argsort(-scores, kind="stable")[: args.top]:
            print(f'{scores[best]:.4f} - "{labels[best]}"')


def channel_means(mean: str, channels: int) -> "NDArray[np.float32]":
    """The mean of each channel (channels, 1, 1): given by values, or those of a file's picture.

    Raises DataError for another number of channels.
    """
    import numpy as np

    from ..data.transformer import read_mean
    from ..errors import DataError

    try:
        values = np.array([float(word) for word in mean.split(",")], np.float32)
    except ValueError:
        values = read_mean(mean).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    if len(values) != channels:
        raise DataError(f"the mean {mean} has {len(values)} channels, the net's input {channels}")
    return values.reshape(-1, 1, 1)


def scores_of(
    net: "Net", path: str, mean: "NDArray[np.float32]", scale: float = 1.0
) -> "NDArray[np.float32]":
    """The net's output for a picture file, scaled to the input's size. Raises DataError."""
    import numpy as np

    name = net.inputs[0]
    channels, height, width = net.blobs[name].shape[1:]
    pixels = _pixels(path, channels, height, width).astype(np.float32)
    net.blobs[name].reshape(1, channels, height, width)
    planes = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    net.blobs[name].data[0] = (planes - mean) * np.float32(scale)
    net.forward_pass()
    scores: NDArray[np.float32] = net.blobs[net.outputs[0]].data[0].reshape(-1).copy()
    return scores


def _pixels(path: str, channels: int, height: int, width: int) -> Any:
    """A picture of 1 or 3 channels, blue first, (height, width) or (height, width, 3)."""
    from ..data.datum import decode_pixels
    from ..data.image_list import read_file
    from ..errors import DataError

    file = read_file(path, "classify")
    try:
        pixels = decode_pixels(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    import cv2

    stored = 1 if pixels.ndim == 2 else pixels.shape[2]
    change = {
        (3, 1): cv2.COLOR_BGR2GRAY,
        (4, 1): cv2.COLOR_BGRA2GRAY,
        (4, 3): cv2.COLOR_BGRA2BGR,
        (1, 3): cv2.COLOR_GRAY2BGR,
    }.get((stored, channels))
    if change is not None:
        pixels = cv2.cvtColor(pixels, change)
    return cv2.resize(pixels, (width, height))
