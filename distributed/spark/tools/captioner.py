"""Captioner: sentences for pictures, by the nets that lie in a captioning net for training.

That net has a picture and sentences as its data, a trunk that turns the picture into features, and
LSTMs over T words, to which the features are the static input. Saying a sentence needs two parts of
it, with the same weights: the trunk, once a picture; and the rest for one step, T = 1, whose states
go in and come out, so that a search may take them from another sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe import TEST
from minicaffe.data.datum import decode, resize
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import NetError
from minicaffe.net.graph import filter_net
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights
from minicaffe.proto import minicaffe_pb2 as pb

from .beam_search import Floats, Said, States, Words, beam_search

TINY = 1e-30  # a probability whose logarithm is finite
STATES = ("h", "c")  # of an LSTM

Shape = tuple[int, ...]


class Captioner:
    """`Captioner(net, weights)(pictures)`: the likeliest sentences for pictures, in ids.

    `net` is the net for training, a CoSData layer at its head; `weights` the file of what it has
    learned. With `width` above 1 the search is a beam search. Raises NetError for a net of another
    kind.
    """

    def __init__(
        self, net: pb.NetParameter, weights: str, *, width: int = 1, device: str = "cpu"
    ) -> None:
        parts = _Parts(net)
        self.width = width
        self.length = parts.length
        self._picture, self._static = parts.picture, parts.static
        self._transformer = DataTransformer(parts.picture.transform_param, TEST)
        self._sentence, self._cont = parts.sentence, parts.cont
        self._lstms = parts.lstms
        self._trunk = Net(parts.trunk(), TEST, device=device)
        features = self._trunk.blob_dict[self._static]
        self._step = Net(parts.step(features.shape[1:]), TEST, device=device)
        for each in (self._trunk, self._step):
            load_weights(each, weights)

    def picture(self, file: bytes) -> Floats:
        """A JPEG, PNG ... as the trunk takes it, scaled and transformed. Raises DataError."""
        wanted = self._picture
        picture = resize(decode(file, wanted.channels), wanted.height, wanted.width)
        values = np.empty(self._transformer.output_shape(picture.shape), np.float32)
        self._transformer.transform(picture, values, [0, 0, 0])
        return values

    def __call__(self, pictures: Sequence[Floats]) -> list[list[Said]]:
        """For each picture, as `picture` gives them, up to `width` sentences, the best first."""
        if not pictures:
            return []
        rows = len(pictures) * self.width
        self._features = np.repeat(self._features_of(pictures), self.width, axis=0)
        states = [np.zeros((rows, units), np.float32) for _, units in self._lstms for _ in STATES]
        return beam_search(
            self._log_probabilities, states, len(pictures), width=self.width, length=self.length
        )

    def _features_of(self, pictures: Sequence[Floats]) -> Floats:
        data = self._trunk.blob_dict[self._picture.name]
        data.reshape((len(pictures), *data.shape[1:]))
        self._trunk.propagate_shapes()
        data.data.write("cpu")[...] = np.stack(pictures)
        self._trunk.forward_pass()
        found: Floats = self._trunk.blob_dict[self._static].data.read("cpu")
        return found

    def _log_probabilities(self, words: Words, states: States) -> tuple[Floats, States]:
        names = [f"{name}_{state}" for name, _ in self._lstms for state in STATES]
        given: dict[str, NDArray[np.generic]] = {
            self._sentence: words[np.newaxis],
            self._cont: np.ones((1, len(words))),  # the first state is all zeros
            self._static: self._features,
            **{f"{n}_0": state[np.newaxis] for n, state in zip(names, states, strict=True)},
        }
        blobs = self._step.blob_dict
        for name, values in given.items():
            blobs[name].reshape(values.shape)
        self._step.propagate_shapes()
        for name, values in given.items():
            blobs[name].data.write("cpu")[...] = values
        self._step.forward_pass()
        logs = np.log(np.maximum(blobs["probabilities"].data.read("cpu")[0], TINY))
        return logs, [blobs[f"{name}_1"].data.read("cpu")[0].copy() for name in names]

    def close(self) -> None:
        """Let go of the nets."""
        self._trunk.close()
        self._step.close()


class _Parts:
    """What a captioning net is made of: blobs by what they mean, and the two nets."""

    def __init__(self, net: pb.NetParameter) -> None:
        training = pb.NetParameter()
        training.CopyFrom(net)
        training.state.phase = pb.TRAIN
        self.net = filter_net(training)
        for layer in self.net.layer:  # its parts have no stages
            layer.ClearField("include")
            layer.ClearField("exclude")
        data = self._only("CoSData")
        lstms = [layer for layer in self.net.layer if layer.type == "LSTM"]
        static = {layer.bottom[2] for layer in lstms if len(layer.bottom) == 3}
        if len(static) != 1:
            raise NetError(f"net '{net.name}': one static input of its LSTMs is expected")
        tops = dict(zip(data.top, data.cos_data_param.top, strict=True))
        self.static = static.pop()
        self.cont = lstms[0].bottom[1]
        self.sentence = self._only("Embed").bottom[0]
        self.scores = self._only("SoftmaxWithLoss").bottom[0]
        self.lstms = [(layer.name, layer.recurrent_param.num_output) for layer in lstms]
        self.length = tops[self.sentence].channels
        leading = self._leading_to(self.static, ())
        pictures = [name for name in data.top if any(name in each.bottom for each in leading)]
        if len(pictures) != 1:
            raise NetError(f"net '{net.name}': '{self.static}' must be made of one picture")
        self.picture = pb.CoSDataParameter.TopBlob()
        self.picture.CopyFrom(tops[pictures[0]])
        self.picture.name = pictures[0]

    def _only(self, kind: str) -> pb.LayerParameter:
        found = [layer for layer in self.net.layer if layer.type == kind]
        if len(found) != 1:
            raise NetError(f"net '{self.net.name}' has {len(found)} {kind} layers; one is expected")
        return found[0]

    def _leading_to(self, blob: str, given: Iterable[str]) -> list[pb.LayerParameter]:
        """The layers that make a blob of given ones, in their order; without those of the data."""
        needed, found = {blob}, []
        for layer in reversed(self.net.layer):
            if layer.bottom and any(top in needed and top not in given for top in layer.top):
                found.append(layer)
                needed.update(layer.bottom)
        return found[::-1]

    def trunk(self) -> pb.NetParameter:
        """From a picture to its features."""
        picture = self.picture
        size = picture.transform_param.crop_size
        sides = (size or picture.height, size or picture.width)
        net = _inputs({picture.name: (1, picture.channels, *sides)})
        net.layer.extend(self._leading_to(self.static, [picture.name]))
        return net

    def step(self, features: Shape) -> pb.NetParameter:
        """From a word, the features and the states to the next word's probabilities and states."""
        given: dict[str, Shape] = {
            self.sentence: (1, 1), self.cont: (1, 1), self.static: (1, *features)
        }  # fmt: skip
        for name, units in self.lstms:
            given.update({f"{name}_{state}_0": (1, 1, units) for state in STATES})
        net = _inputs(given)
        for layer in self._leading_to(self.scores, given):
            added = net.layer.add()
            added.CopyFrom(layer)
            if layer.type == "LSTM":
                added.recurrent_param.expose_hidden = True
                added.bottom.extend(f"{layer.name}_{state}_0" for state in STATES)
                added.top.extend(f"{layer.name}_{state}_1" for state in STATES)
        last = net.layer.add(name="probabilities", type="Softmax", top=["probabilities"])
        last.bottom.append(self.scores)
        last.softmax_param.axis = 2
        return net


def _inputs(shapes: Mapping[str, Shape]) -> pb.NetParameter:
    """A net of Input layers of these shapes."""
    net = pb.NetParameter()
    for name, shape in shapes.items():
        layer = net.layer.add(name=f"{name}, given", type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    return net
