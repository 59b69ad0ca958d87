"""Layers that run in place: those that overwrite what a gradient needs are told, by name, once."""

import logging
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.layer import known_types, layer_class
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from tests.layers.test_layer_docstrings import NO_GRADIENT, build

HEAD = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
FIRST = 'layer { name: "sg" type: "%s" bottom: "x" top: "b" }'
TAIL = 'layer { name: "l" type: "Reduction" bottom: "b" top: "l" loss_weight: 1 }'


def warnings(caplog: pytest.LogCaptureFixture, text: str, phase: int = 0) -> list[str]:
    caplog.set_level(logging.WARNING, "minicaffe")
    param = parse_text(f"{HEAD} {text} {TAIL}", pb.NetParameter())
    param.force_backward = phase == minicaffe.TRAIN
    Net(param, phase)
    return [record.getMessage() for record in caplog.records]


def in_place(kind: str, blob: str = "b") -> str:
    return f'layer {{ name: "sc" type: "{kind}" bottom: "{blob}" top: "{blob}" }}'


@pytest.mark.parametrize("kind", ["Sigmoid", "TanH", "Softmax", "ELU", "Exp", "MVN", "Swish"])
def test_a_layer_that_overwrites_its_producers_top(caplog: Any, kind: str) -> None:
    assert warnings(caplog, FIRST % kind + in_place("ReLU")) == [
        f"layer 'sc' (ReLU) overwrites 'b', which 'sg' ({kind}) needs for its gradient:"
        " give its top a name of its own"
    ]


@pytest.mark.parametrize("kind", ["AbsVal", "BNLL", "Log", "Clip", "Power"])
def test_a_layer_that_overwrites_what_it_needs_itself(caplog: Any, kind: str) -> None:
    clip = "clip_param { min: 0 max: 1 }" if kind == "Clip" else ""
    text = FIRST % "ReLU" + in_place(kind)[:-1] + clip + "}"
    [said] = warnings(caplog, text)
    assert said.startswith(f"layer 'sc' ({kind}) overwrites 'b', which it needs itself for its")


def test_memory_that_is_shared_counts(caplog: Any) -> None:
    text = FIRST % "Sigmoid" + 'layer { name: "f" type: "Flatten" bottom: "b" top: "c" }'
    text += in_place("Dropout", "c") + 'layer { name: "o" type: "Power" bottom: "c" top: "d" }'
    [said] = warnings(caplog, text.replace('"b" top: "c"', '"b" top: "c"'))
    assert "layer 'sc' (Dropout) overwrites 'c', which 'sg' (Sigmoid) needs" in said


@pytest.mark.parametrize("text", [
    FIRST % "ReLU" + in_place("ReLU"),
    FIRST % "Dropout" + in_place("Sigmoid"),
    FIRST % "Sigmoid",
    FIRST % "BatchNorm" + in_place("Scale"),
])  # fmt: skip
def test_what_is_right_in_place_says_nothing(caplog: Any, text: str) -> None:
    assert warnings(caplog, text) == []


def test_a_net_that_never_goes_back_says_nothing(caplog: Any) -> None:
    assert warnings(caplog, FIRST % "Sigmoid" + in_place("ReLU"), minicaffe.TEST) == []


GRADED = sorted(set(known_types()) - NO_GRADIENT)


@pytest.mark.parametrize("layer_type", GRADED)
def test_what_a_type_says_of_its_tops_is_so(layer_type: str) -> None:
    """Other numbers in the tops change the bottoms' gradients, or do not."""
    net = build(layer_type, "cpu")
    found = []
    for spoilt in (False, True):
        context.set_random_seed(7)
        net.forward_pass()
        node = next(node for node in net.nodes if node.layer.type == layer_type)
        for top in node.tops:
            top.diff[...] = np.linspace(0.5, 1.5, top.count()).reshape(top.shape)
            if spoilt and not layer_class(layer_type).shares:
                top.data[...] = 0.3 * np.asarray(top.data) + 0.1
        net.clear_param_diffs()
        node.run_back()
        wanted = zip(node.bottoms, node.propagate_down, strict=True)
        found.append([np.array(blob.diff) for blob, propagate in wanted if propagate])
    same = all(map(np.array_equal, *found))
    assert same is not layer_class(layer_type).needs_top
