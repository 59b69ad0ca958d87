"""Small nets, and what they compute when a function of their kernels has a fault."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicaffe import TRAIN, context
from minicaffe.labs.course import product_file
from minicaffe.labs.mutants import mutants
from minicaffe.layer_example import example_net
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

# Layer types whose only kernel family is this, and the functions of it that make gradients.
LAYERS = {
    "ReLU": ("relu", ("backward",)),
    "PReLU": ("prelu", ("backward_slope", "backward_data")),
    "InnerProduct": ("inner_product", ("backward_data", "backward_weight", "backward_bias")),
    "Convolution": ("convolution", ("backward_data", "backward_weight", "backward_bias")),
    "Pooling": ("pooling", ("max_backward",)),
    "Softmax": ("softmax", ("backward",)),
    "EuclideanLoss": ("euclidean_loss", ("backward",)),
}
SAME = 1e-3  # of a gradient's size: nearer than that a mutant is not broken,
OTHER = 0.1  # and only from here on it certainly is


@dataclass(frozen=True)
class Layer:
    """A layer's net, whose kernels are the text of a family, with a fault or without."""

    type: str
    fault: str  # "" for none
    text: str

    def net(self) -> Net:
        """The net of the layer's docstring, inputs and parameters drawn, in these kernels."""
        context.set_random_seed(7)
        param = example_net(self.type)
        param.force_backward = True
        net = Net(param, TRAIN, device="reference")
        fill(net, np.random.default_rng(11))
        (layer,) = (node.layer for node in net.nodes if node.param.type == self.type)
        layer.ops = self._kernels()
        return net

    def _kernels(self) -> Any:
        family = f"minicaffe.kernels.reference.{LAYERS[self.type][0]}"
        module = types.ModuleType(family)
        module.__package__ = family.rpartition(".")[0]
        exec(compile(self.text, family, "exec"), module.__dict__)
        return module


def fill(net: Net, rng: np.random.Generator) -> None:
    """Distinct inputs away from kinks, parameters that are not 0."""
    for blob in net.input_blobs:
        values = (rng.permutation(blob.count()) + 0.5) / blob.count() * 2 - 1
        values += 0.1 * np.sign(values)
        blob.data[...] = values.reshape(blob.shape)
    for blob in net.flat_params.blobs:
        blob.data[...] = rng.uniform(0.1, 0.5, blob.shape)


def sound_layers() -> Iterator[Layer]:
    """The layers as they are."""
    for kind, (family, _) in LAYERS.items():
        text = product_file(f"kernels/reference/{family}.py").read_text(encoding="utf-8")
        yield Layer(kind, "", text)


def faulty_layers() -> Iterator[tuple[Layer, bool]]:
    """Mutants that run, and whether their gradient is another one: by comparison, not by name."""
    for sound in sound_layers():
        expected = gradients(sound)
        for function in LAYERS[sound.type][1]:
            for mutant in mutants(sound.text, function):
                layer = Layer(sound.type, mutant.name, mutant.text)
                try:
                    found = gradients(layer)
                except Exception:  # it does not get that far: nothing to check
                    continue
                off = max(
                    float(np.nan_to_num(abs(mine - theirs), nan=np.inf).max())
                    / max(1.0, float(abs(theirs).max()))
                    for mine, theirs in zip(found, expected, strict=True)
                )
                if off < SAME or off > OTHER:
                    yield layer, off > OTHER


def gradients(layer: Layer) -> list[Any]:
    """What backward gives for the inputs and parameters, from fixed gradients of the outputs."""
    net = layer.net()
    rng = np.random.default_rng(3)
    net.forward_pass()
    for blob in net.output_blobs:
        blob.diff[...] = rng.uniform(0.5, 1.5, blob.shape)
    net.clear_param_diffs()
    net.backward_pass()
    return [np.array(blob.diff) for blob in checked(net)]


def checked(net: Net) -> list[Any]:
    """The blobs whose gradients are looked at."""
    return [*net.input_blobs, *net.flat_params.blobs]


def net_of(text: str) -> Net:
    """A net of prototxt text on the device reference, every input with a gradient."""
    param = parse_text(text, pb.NetParameter())
    param.force_backward = True
    return Net(param, TRAIN, device="reference")
