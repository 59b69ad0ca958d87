"""Sharing of memory between blobs: what may lie where, and that results are the same bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe import context
from minicaffe.errors import LayerError, NetError
from minicaffe.net.memory_plan import MemoryPlan, plan_memory
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }'


def layer(type: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    tops = " ".join(f'top: "{name}"' for name in top.split())
    return f'layer {{ name: "{top}_{type}" type: "{type}" {bottoms} {tops} {more} }}'


CHAIN = [
    INPUT,
    layer("Power", "x", "a", "power_param { scale: 2 }"),
    layer("Power", "a", "b", "power_param { shift: 1 }"),
    layer("Power", "b", "c", "power_param { power: 2 }"),
    layer("Power", "c", "d", "power_param { shift: -3 }"),
]


def parsed(layers: list[str]) -> pb.NetParameter:
    return parse_text("\n".join(layers), pb.NetParameter())


def plan_of(param: pb.NetParameter, keep: tuple[str, ...] = ()) -> MemoryPlan:
    net = Net(param, minicaffe.TEST)
    return plan_memory(net.nodes, [*net.output_names, *keep])


def buffers(layers: list[str], keep: tuple[str, ...] = ()) -> dict[str, int]:
    return plan_of(parsed(layers), keep).buffer_of()


def test_two_buffers_serve_a_chain() -> None:
    assert buffers([*CHAIN, layer("Power", "d", "y")]) == {"a": 0, "b": 1, "c": 0, "d": 1}


def test_inputs_and_outputs_keep_their_memory() -> None:
    assert buffers(CHAIN).keys() == {"a", "b", "c"}


def test_a_blob_to_keep_keeps_its_memory() -> None:
    assert buffers(CHAIN, keep=("b",)) == {"a": 0, "c": 0}


def test_a_layer_in_place_has_the_memory_of_its_bottom() -> None:
    layers = [*CHAIN[:3], layer("ReLU", "b", "b"), *CHAIN[3:]]
    assert buffers(layers) == {"a": 0, "b": 1, "c": 0}


def test_a_blob_that_is_read_late_is_not_overwritten() -> None:
    """The branch from a to the sum keeps a's memory through b and c."""
    layers = [*CHAIN[:4], layer("Eltwise", "a c", "d"), layer("Power", "d", "y")]
    assert buffers(layers) == {
        "a": 0, "a_a_Power_0_split_0": 0, "a_a_Power_0_split_1": 0, "b": 1, "c": 2, "d": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "more", [("Reshape", "reshape_param { shape { dim: 3 dim: 4 } }"), ("Flatten", "")]
)
def test_views_of_a_blob_are_the_same_memory(more: tuple[str, str]) -> None:
    kind, param = more
    layers = [*CHAIN[:3], layer(kind, "b", "view", param), *CHAIN[3:]]
    layers += [layer("Silence", "view", ""), layer("Power", "d", "y")]
    found = buffers(layers)
    assert found["b"] == found["view"]
    assert found["b"] != found["c"], "the view is read after c"


def test_a_buffer_is_as_large_as_its_largest_blob() -> None:
    layers = [
        INPUT,
        layer("Power", "x", "a"),
        layer("Power", "a", "b"),
        layer("Tile", "b", "c", "tile_param { tiles: 10 }"),
        layer("Power", "c", "y"),
    ]
    plan = plan_of(parsed(layers))
    assert plan.buffer_of() == {"a": 0, "b": 1, "c": 0}
    assert plan.buffers == [120, 12]
    assert plan.bytes_alone == 4 * (12 + 12 + 12 + 120 + 120)
    assert plan.bytes_shared == 4 * (12 + 120 + 12 + 120)


def test_losses_keep_their_memory() -> None:
    layers = [*CHAIN, layer("Power", "d", "label"), layer("EuclideanLoss", "d label", "loss")]
    assert "loss" not in buffers([*layers, layer("Power", "loss", "y")])


def test_labels_are_there_when_the_pass_is_done(device: str) -> None:
    """They are checked then, also where a layer has made them and large blobs come after."""
    label = 'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }'
    layers = [INPUT, label, layer("Power", "l", "m", "power_param { scale: 9 }"),
              layer("Accuracy", "x m", "share"), *CHAIN[1:]]  # fmt: skip
    param = parsed(layers)
    assert "m" not in plan_of(param).buffer_of()
    net = Net(param, minicaffe.TEST, device=device, share_memory=True)
    net.blob_dict["l"].data[...] = [0, 1]
    with pytest.raises(LayerError, match=r"label 9 of sample 1 is not in 0 \.\. 5"):
        net.forward_pass()


def test_what_a_python_layer_reads_and_writes_is_its_own() -> None:
    python = 'python_param { module: "tests.net.test_memory_plan" layer: "Keeps" }'
    layers = [*CHAIN[:3], layer("Python", "b", "c", python), *CHAIN[4:], layer("Power", "d", "y")]
    assert buffers(layers).keys() == {"a", "d"}


class Keeps(minicaffe.Layer):
    """A user's layer whose top remembers the largest values that it has seen."""

    def setup(self, bottom: Any, top: Any) -> None:
        pass

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = np.maximum(top[0].data, bottom[0].data)


# --- rules ---------------------------------------------------------------------------------------


def test_a_blob_to_keep_must_exist() -> None:
    with pytest.raises(NetError, match=r"no blob 'e' to keep in the net \(it has: x, a, b, c, d\)"):
        Net(parsed(CHAIN), minicaffe.TEST, share_memory=True, keep=["e"])


def test_a_training_net_shares_nothing() -> None:
    with pytest.raises(NetError, match="share_memory is for nets of phase TEST"):
        Net(parsed(CHAIN), minicaffe.TRAIN, share_memory=True)


def test_passes_are_whole_and_forward() -> None:
    net = Net(parsed(CHAIN), minicaffe.TEST, share_memory=True)
    net.forward_pass()
    with pytest.raises(NetError, match="runs from the first layer on"):
        net.forward_pass(start=2)
    with pytest.raises(NetError, match="cannot run back"):
        net.backward_pass()


def test_pycaffe_shares_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join(CHAIN))
    assert minicaffe.Net(str(path), minicaffe.TEST).memory_plan is None
    assert minicaffe.Net(str(path), minicaffe.TEST, share_memory=True).memory_plan is not None


SOLVER = """
base_lr: 0.1 lr_policy: "fixed" max_iter: 4 test_iter: 2 test_interval: 2 random_seed: 5
snapshot_after_train: false
net_param {
  layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
    shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
  layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
    inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
  layer { name: "b" type: "TanH" bottom: "a" top: "b" }
  layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "t" top: "loss" }
}
"""


def test_a_solver_tests_the_same_either_way(device: str) -> None:
    scores = []
    for share_memory in (True, False):
        with context.fresh():
            param = parse_text(SOLVER, pb.SolverParameter())
            solver = create_solver(param, device=device, share_memory=share_memory)
        assert (solver.test_nets[0].memory_plan is not None) == share_memory
        with context.fresh():
            context.set_random_seed(5)
            solver.solve()
            found = solver.run_test(0)
        assert found is not None
        scores.append(found.values)
    np.testing.assert_array_equal(*scores)


# --- results -------------------------------------------------------------------------------------


def outputs(param: pb.NetParameter, share: bool, keep: tuple[str, ...]) -> list[Any]:
    """All outputs and `keep` of three passes over other inputs each time, and of other shapes."""
    with context.fresh():
        context.set_random_seed(3)
        net = Net(param, minicaffe.TEST, share_memory=share, keep=keep)
        rng = np.random.default_rng(9)
        seen = []
        for batch in (3, 2, 5):
            for blob in net.input_blobs:
                blob.reshape(batch, *blob.shape[1:])
                values = rng.random(blob.shape) if blob.num_axes > 1 else np.arange(batch)
                blob.data[...] = values
            net.forward_pass()
            seen += [np.array(net.blob_dict[name].data) for name in (*net.output_names, *keep)]
        return seen


def same_results(param: pb.NetParameter, keep: tuple[str, ...] = ()) -> None:
    alone, shared = (outputs(param, share, keep) for share in (False, True))
    assert alone
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


BRANCHES = [
    INPUT,
    layer("InnerProduct", "x", "a", "inner_product_param { num_output: 6 "
          'weight_filler { type: "xavier" } }'),
    layer("ReLU", "a", "a"),
    layer("TanH", "a", "b"),
    layer("Sigmoid", "a", "c"),
    layer("Concat", "b c", "bc"),
    layer("Slice", "bc", "d e f"),
    layer("Eltwise", "d e", "g"),
    layer("Reshape", "f", "h", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }"),
    layer("Flatten", "h", "i"),
    layer("Eltwise", "g i", "j"),
    layer("BatchNorm", "j", "j"),
    layer("Scale", "j", "j"),
    layer("Softmax", "j", "prob"),
]  # fmt: skip


@pytest.mark.parametrize("keep", [(), ("b", "g"), ("i",)])
def test_branches_joined_and_cut_give_the_same(keep: tuple[str, ...]) -> None:
    same_results(parsed(BRANCHES), keep)


@pytest.mark.parametrize("kind", ["Scale", "PReLU", "Swish"])
def test_a_layer_in_place_keeps_no_copy_for_a_backward_that_does_not_come(kind: str) -> None:
    layers = [*CHAIN[:3], layer(kind, "b", "b"), *CHAIN[3:]]
    same_results(parsed(layers))
    kept = {}
    for share in (False, True):
        net = Net(parsed(layers), minicaffe.TEST, share_memory=share)
        net.forward_pass()
        blobs = (getattr(net.layers[3], name, None) for name in ("input", "kept"))
        own = [blob for blob in blobs if blob is not None and blob is not net.blob_dict["b"]]
        kept[share] = [blob for blob in own if blob.data.storage.copies]
    assert kept[False]
    assert not kept[True]


@pytest.mark.parametrize("name", ["lenet", "cifar10_quick", "caffenet_small", "resnet_small"])
def test_golden_nets_give_the_same(name: str, goldens: Path) -> None:
    param = read_net(str(goldens / "nets" / f"{name}.prototxt"))
    same_results(param)
    plan = plan_of(param)
    own = 4 * sum(life.count for life in plan.lives if life.own)
    assert plan.bytes_shared - own < 0.8 * (plan.bytes_alone - own)


# --- what is seen of it --------------------------------------------------------------------------


def test_the_log_tells_both_sizes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "minicaffe"):
        Net(parsed(CHAIN), minicaffe.TEST, share_memory=True)
    assert "Memory of the blobs: 192 bytes instead of 240, 2 buffers are shared." in caplog.messages


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., list[str]]:
    """What `minicaffe summary` prints of a net."""
    from minicaffe.cli import main

    def run(layers: list[str], *flags: str) -> list[str]:
        path = tmp_path / "net.prototxt"
        path.write_text("\n".join(layers))
        assert main(["summary", "-model", str(path), *flags]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_the_summary_shows_the_plan(printed: Callable[..., list[str]]) -> None:
    lines = printed(CHAIN)
    assert lines[0].split()[-1] == "buffer"
    assert [line.split()[-1] for line in lines[2:7]] == ["0.00", "1", "2", "1", "0.00"]
    assert lines[-1] == "blobs: 0.00 MB with 2 shared buffers, 0.00 MB with -noshare_memory"


def test_the_summary_of_a_training_net_has_no_plan(printed: Callable[..., list[str]]) -> None:
    lines = printed(CHAIN, "-phase", "TRAIN")
    assert "buffer" not in "".join(lines)
