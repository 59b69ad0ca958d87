"""Which nets a solver builds: one to train, those to test, with their states and weights."""

import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import Error
from minicaffe.net.weights import save_weights
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import write_binary
from minicaffe.random_stream.generator import Generator
from minicaffe.solver.create import create_solver
from tests.solver.small_solver import NET, make, parse

WITH_PHASES = """
    layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 1 } } }
    layer { name: "train" type: "Power" bottom: "x" top: "train" include { phase: TRAIN } }
    layer { name: "test" type: "Power" bottom: "x" top: "test" include { phase: TEST } }
    layer { name: "deep" type: "Power" bottom: "x" top: "deep" include { min_level: 2 } }
    layer { name: "a" type: "Power" bottom: "x" top: "a" include { stage: "a" } }
    layer { name: "b" type: "Power" bottom: "x" top: "b" include { stage: "b" } }
"""


@pytest.mark.parametrize("field", ["net", "net_param", "train_net", "train_net_param"])
def test_the_training_net_may_stand_in_four_places(field, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    value = f"{{ {NET} }}" if field.endswith("param") else f": '{tmp_path}/net.prototxt'"
    solver = create_solver(parse(f"{field} {value}"))
    assert solver.net.layer_names == ["data", "ip", "loss"]
    assert solver.net.phase == pb.TRAIN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "exactly one of net, net_param, train_net, train_net_param; this has none"),
        ("net: 'a' train_net: 'b'", "this has net and train_net"),
        ("net_param { } test_iter: 0 test_interval: 1", r"test_iter must be above 0, not \[0\]"),
        ("net_param { } test_iter: 1", "test nets need test_interval > 0, not 0"),
        ("train_net_param { } test_iter: 1 test_interval: 1", "0 of their own; it is given 1"),
        ("train_net_param { } test_net: 'a' test_interval: 1", "1 of their own; it is given 0"),
        (
            "net_param { } test_net: 'a' test_interval: 1",
            "1 of their own, any number of the common net; it is given 0",
        ),
        (
            "net_param { } test_iter: 1 test_interval: 1 test_state { } test_state { }",
            "for none or for all 1 test nets, not for 2",
        ),
        ("net_param { } average_loss: 0", "average_loss must be at least 1, not 0"),
        ("net_param { } iter_size: 0", "iter_size must be at least 1, not 0"),
        ("net_param { } regularization_type: 'L3'", "no regularization_type 'L3'"),
        ("net_param { } lr_policy: 'often'", "no lr_policy 'often'"),
        ("net_param { } snapshot: 5", "snapshot: 5 needs a snapshot_prefix"),
        ("net_param { } snapshot: 5 snapshot_prefix: '/no/such/dir/x'", "cannot write to snapshot"),
        ("net_param { } type: 'AdaGrad' momentum: 0.9", "AdaGrad has no momentum"),
        ("net_param { } type: 'RMSProp' momentum: 0.9", "RMSProp has no momentum"),
        ("net_param { } type: 'RMSProp' rms_decay: 1", r"rms_decay must be in \[0, 1\), not 1"),
        ("net_param { } type: 'Adam' momentum: 1", r"Adam needs momentum in \[0, 1\), not 1"),
        ("net_param { } type: 'Adam' momentum2: 1", r"Adam needs momentum2 in \[0, 1\), not 1"),
        (
            "net_param { } type: 'Adagrad'",
            "no solver type 'Adagrad' .there are: AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGD",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(text, message):
    with pytest.raises(Error, match=message):
        create_solver(parse(text))


def test_test_nets_come_in_order_own_nets_first(tmp_path):
    (tmp_path / "file.prototxt").write_text(f'name: "file" {WITH_PHASES}')
    solver = create_solver(
        parse(f"""
            net_param {{ name: "common" {WITH_PHASES} }}
            test_net: "{tmp_path}/file.prototxt"
            test_net_param {{ name: "own" {WITH_PHASES} }}
            test_iter: 1 test_iter: 1 test_iter: 1 test_iter: 1 test_interval: 1
            test_state {{ }} test_state {{ stage: "a" }} test_state {{ stage: "b" level: 2 }}
            test_state {{ phase: TRAIN }}
        """)
    )
    assert [net.name for net in solver.test_nets] == ["own", "file", "common", "common"]
    kept = [{"train", "test", "deep", "a", "b"} & set(n.layer_names) for n in solver.test_nets]
    assert kept == [{"test"}, {"test", "a"}, {"test", "deep", "b"}, {"train"}]
    assert {"train"} == {"train", "test", "deep"} & set(solver.net.layer_names)


def test_states_merge_the_phase_by_default_the_net_file_the_solver():
    solver = create_solver(
        parse(f"""
            net_param {{ state {{ phase: TEST level: 1 stage: "a" }} {WITH_PHASES} }}
            train_state {{ level: 3 stage: "b" }}
        """)
    )
    assert {"test", "deep", "a", "b"} == set(solver.net.layer_names) & {
        "train", "test", "deep", "a", "b"
    }  # fmt: skip


def test_a_seed_and_the_rank_decide_the_first_weights():
    def first_weights(rank):
        context.current().solver_rank = rank
        return np.asarray(make().net.layers[1].blobs[0].data).reshape(-1).tolist()

    assert first_weights(0) == Generator(1).gaussian(6).tolist()
    assert first_weights(2) == Generator(3).gaussian(6).tolist()


def test_weights_are_loaded_into_all_nets(tmp_path):
    other = make("random_seed: 9")
    more = other.net.to_proto()
    more.layer.add(name="unknown").blobs.add(data=[1])
    save_weights(make("random_seed: 10").net, f"{tmp_path}/a.caffemodel")
    write_binary(f"{tmp_path}/b.caffemodel", more)
    solver = make(
        f"weights: '{tmp_path}/a.caffemodel, {tmp_path}/b.caffemodel' test_iter: 1 test_interval: 1"
    )
    for net in (solver.net, solver.test_nets[0]):
        assert np.array_equal(net.flat_params.data, other.net.flat_params.data)
