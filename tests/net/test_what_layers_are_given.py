"""Parameters that a prototxt holds, and what the methods of a Python layer return."""

import numpy as np
import pytest

from minicaffe.errors import LayerError
from minicaffe.layer import Layer
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        ('type: "BatchNorm" blobs { shape { dim: 1 } data: 1 }', r"\[\(1,\)\], it has \[\(3,\)"),
        ('type: "Scale" blobs { shape { dim: 2 } data: [1, 2] }', r"\[\(2,\)\], it has \[\(3,\)"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 1 }'
            " blobs { shape { dim: 1 dim: 3 } data: [1, 2, 3] }",
            r"\[\(1, 3\)\], it has \[\(1, 3\), \(1,\)\]",
        ),
        ('type: "ReLU" blobs { shape { dim: 2 } data: [1, 2] }', r"\[\(2,\)\], it has \[\]"),
    ],
)
def test_parameters_in_a_prototxt_that_do_not_fit_are_refused(layer, shapes):
    with pytest.raises(LayerError, match=f"layer 'y' .*gives parameters of shapes {shapes}"):
        one_layer_net(layer)


def test_parameters_in_a_prototxt_are_taken_in_the_layers_shape():
    text = 'type: "PReLU" blobs { num: 1 channels: 1 height: 1 width: 3 data: [1, 2, 3] }'
    net = one_layer_net(text)
    assert net.layers[1].blobs[0].shape == (3,)
    assert np.array_equal(net.layers[1].blobs[0].data, [1, 2, 3])


def one_layer_net(layer):
    shape = "input_param { shape { dim: 2 dim: 3 } }"
    text = f"""force_backward: true layer {{ name: "x" type: "Input" top: "x" {shape} }}
               layer {{ name: "y" bottom: "x" top: "y" {layer} }}"""
    return Net(parse_text(text, pb.NetParameter()))


class Returning(Layer):
    """Doubles its bottom; `what` says what its methods return and whether they write it."""

    what = ""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        return self.done(top[0].data, 2 * np.asarray(bottom[0].data), "forward")

    def backward(self, top, propagate_down, bottom):
        return self.done(bottom[0].diff, 2 * np.asarray(top[0].diff), "backward")

    def done(self, place, values, method):
        if self.what not in (f"only {method}", f"a list of {method}"):
            place[...] = values
        if self.what == f"a list of {method}":
            return [values]
        return values if self.what in ("both", f"only {method}") else None


def returning(what, monkeypatch):
    monkeypatch.setattr(Returning, "what", what)
    param = f'type: "Python" python_param {{ module: "{__name__}" layer: "Returning" }}'
    net = one_layer_net(param)
    net.blob_dict["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    return net


@pytest.mark.parametrize("what", ["neither", "both"])
def test_a_python_layer_may_return_what_it_wrote(what, monkeypatch):
    net = returning(what, monkeypatch)
    net.forward_pass()
    net.blob_dict["y"].diff[...] = 1
    net.backward_pass()
    assert np.array_equal(net.blob_dict["y"].data, [[2, 4, 6], [8, 10, 12]])
    assert np.array_equal(net.blob_dict["x"].diff, np.full((2, 3), 2))


@pytest.mark.parametrize("what", ["only", "a list of"])
def test_a_python_layer_that_returns_instead_of_writing_is_refused(what, monkeypatch):
    net = returning(f"{what} forward", monkeypatch)
    with pytest.raises(LayerError, match=r"'y' .Python.: forward returned an array.*top\[0\].data"):
        net.forward_pass()
    net = returning(f"{what} backward", monkeypatch)
    net.forward_pass()
    net.blob_dict["y"].diff[...] = 1
    with pytest.raises(LayerError, match=r"'y' .Python.: backward returned.*bottom\[0\].diff"):
        net.backward_pass()
