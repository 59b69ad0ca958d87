"""Nodes: what a net knows of a layer in its place stands in one object."""

import minicaffe
from minicaffe.net.net import Net
from minicaffe.net.weights import copy_trained, share_trained, to_proto
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

TEXT = """
    name: "net"
    layer { name: "data" type: "Input" top: "x" top: "label"
            input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" loss_weight: 0
            inner_product_param { num_output: 4 weight_filler { type: "uniform" } } }
    layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss"
            loss_weight: 0.5 propagate_down: true propagate_down: false }
"""


def net() -> Net:
    return Net(parse_text(TEXT, pb.NetParameter()), minicaffe.TRAIN, device="reference")


def test_a_node_holds_a_layer_with_its_blobs_and_their_names() -> None:
    made = net()
    assert [node.name for node in made.nodes] == made.layer_names == ["data", "a", "relu", "loss"]
    assert [node.layer for node in made.nodes] == made.layers
    for node in made.nodes:
        assert node.param is node.layer.param
        assert node.bottoms == [made.blob_dict[name] for name in node.bottom_names]
        assert node.tops == [made.blob_dict[name] for name in node.top_names]
    assert made.nodes[3].bottom_names == ["a", "label"]
    assert made.nodes[2].bottoms == made.nodes[2].tops


def test_a_node_knows_its_losses_and_whether_it_goes_backward() -> None:
    data, a, relu, loss = net().nodes
    assert [node.losses for node in (data, a, relu)] == [[], [], []]
    assert loss.losses == loss.tops
    assert loss.loss_weights == [0.5]
    assert float(loss.tops[0].diff[...]) == 0.5
    assert [node.needs_backward for node in (data, a, relu, loss)] == [False, True, True, True]
    assert [node.propagate_down for node in (a, relu, loss)] == [[False], [True], [True, False]]


def test_force_backward_asks_for_every_gradient_that_there_is() -> None:
    nodes = net().nodes
    for node in nodes:
        node.force_backward()
    assert all(node.needs_backward for node in nodes)
    assert [node.propagate_down for node in nodes[1:]] == [[True], [True], [True, False]]


def test_weights_go_from_nodes_to_nodes() -> None:
    one, copied, sharing = net(), net(), net()
    one.nodes[1].layer.blobs[0].data[...] = 3
    copy_trained(copied.nodes, to_proto("net", one.nodes, write_diff=False), "one")
    share_trained(sharing.nodes, one.nodes)
    one.nodes[1].layer.blobs[0].data[...] = 4
    assert (copied.nodes[1].layer.blobs[0].data[...] == 3).all()
    assert (sharing.nodes[1].layer.blobs[0].data[...] == 4).all()
