"""Where the layers of a net stand in its prototxt, first line and last."""

from pathlib import Path

import pytest

from minicaffe import TRAIN
from minicaffe.net.net import Net
from minicaffe.proto.files import read_net
from minicaffe.proto.places import places_of

TEXT = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
# a brace in a comment: {
layer {
  name: "only in TEST"  # and in a string: '}'
  type: "ReLU" bottom: "data" top: "tested" include { phase: TEST }
}
layer <
  name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param: { num_output: 2 }
> layer {
  name: "one" type: "ReLU" bottom: "ip" top: "one" }
layer: [{ name: "two" type: "TanH"
  bottom: "ip" top: "two" }]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "small.prototxt"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_places_are_the_lines_of_a_layers_brackets(file):
    found = [(place.first, place.last) for place in places_of(read_net(file)) if place]
    assert found == [(2, 2), (4, 7), (8, 11), (11, 12), (13, 14)]


def test_a_place_is_shown_as_file_and_line(file):
    assert f"{places_of(read_net(file))[1]}" == f"{file}:4"


def test_a_net_knows_the_lines_of_the_layers_that_it_took_and_none_of_those_it_made(file):
    nodes = Net(read_net(file), TRAIN, device="reference").nodes
    found = {
        node.name: (node.place.first, node.place.last) if node.place else None for node in nodes
    }
    assert found == {
        "data": (2, 2), "ip": (8, 11), "ip_ip_0_split": None, "one": (11, 12), "two": (13, 14)
    }  # fmt: skip
