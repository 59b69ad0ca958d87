"""Parameters that leave the flat buffer are trained all the same, or refused with a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver
from minicaffe.solver.update import clip_factor

CONSTANT = """
layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { value: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { value: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
TIED = """
layer { name: "d" type: "DummyData" top: "x" dummy_data_param {
  shape { dim: 4 dim: 3 } data_filler { value: 1 } } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { value: 0.5 } } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { value: 9 } } }
layer { name: "loss" type: "Reduction" bottom: "two" top: "loss" loss_weight: 0.25 }
"""


def solver_of(net: str, more: str = "", device: str = "reference") -> Solver:
    param = pb.SolverParameter()
    parse_text(f'base_lr: 0.1 lr_policy: "fixed" max_iter: 9 {more}', param)
    parse_text(net, param.net_param)
    return create_solver(param, net_class=caffe.Net, device=device, share_memory=False)


def net_of(net: str, phase: int = caffe.TRAIN, device: str = "reference") -> Any:
    param = pb.NetParameter()
    parse_text(net, param)
    return caffe.Net(param, phase, device=device)


def weight(net: Any, layer: str = "ip") -> float:
    """The one value that all of a layer's weights have."""
    values = np.unique(net.params[layer][0].data)
    assert len(values) == 1
    return float(values[0])


# --- shared with another net --------------------------------------------------------------------


# The loss is the sum of (3 w + b - 1)^2 of two outputs, halved: dw = db = 3 w + b - 1.


def test_shared_weights_are_trained_for_both_nets(device: str) -> None:
    other = net_of(CONSTANT, device=device)
    other.params["ip"][0].data[...] = 2
    solver = solver_of(CONSTANT, device=device)
    solver.net.share_trained_from(other)
    solver.step(1)
    for net in (solver.net, other):
        assert weight(net) == 1.5
        assert net.params["ip"][1].data.tolist() == [-0.5] * 2
    solver.step(1)
    assert weight(other) == weight(solver.net) == pytest.approx(1.5 - 0.1 * (4.5 - 0.5 - 1))


def test_two_solvers_train_one_set_of_weights_in_turn(device: str) -> None:
    alone = solver_of(CONSTANT, device=device)
    one, two = solver_of(CONSTANT, device=device), solver_of(CONSTANT, device=device)
    two.net.share_trained_from(one.net)
    for solver in (one, two, two, one):
        alone.step(1)
        before = weight(one.net)
        solver.step(1)
        assert weight(one.net) == weight(two.net) == weight(alone.net) != before


def test_two_solvers_with_momentum_have_a_history_each() -> None:
    more = "momentum: 0.5"
    one, two = solver_of(CONSTANT, more), solver_of(CONSTANT, more)
    two.net.share_trained_from(one.net)
    one.step(1)  # w 1 - 0.2 = 0.8, b -0.2
    two.step(1)  # 3 * 0.8 - 0.2 - 1 = 1.2
    assert weight(one.net) == pytest.approx(0.68)
    one.step(1)  # 3 * 0.68 - 0.32 - 1 = 0.72; half of one's own 0.2
    assert weight(two.net) == pytest.approx(0.68 - 0.072 - 0.1)


def test_nets_of_other_layers_are_shared_where_they_meet() -> None:
    other = net_of(CONSTANT.replace("num_output: 2", "num_output: 2 bias_term: false"))
    solver = solver_of(CONSTANT)
    with pytest.raises(NetError, match="shapes differ"):
        solver.net.share_trained_from(other)
    first = """layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 4 } } }
    layer { name: "before" type: "InnerProduct" bottom: "a" top: "b"
      inner_product_param { num_output: 7 } }"""
    longer = net_of(first + CONSTANT)
    solver.net.share_trained_from(longer)
    solver.step(1)
    assert weight(longer) == weight(solver.net) == pytest.approx(0.8)


def test_all_that_reads_the_flat_arrays_sees_the_shared_weights() -> None:
    other = net_of(CONSTANT)
    other.params["ip"][0].data[...] = 7
    solver = solver_of(CONSTANT, "weight_decay: 1 test_iter: 1 test_interval: 100")
    solver.net.share_trained_from(other)
    assert np.asarray(solver.net.flat_params.data).tolist() == [7] * 6 + [0] * 2
    solver.step(1)  # the decay takes the weights as they are: 7 - 0.1 * (20 + 7)
    assert weight(other) == pytest.approx(4.3)
    flat = np.asarray(solver.net.flat_params.data)
    assert np.array_equal(flat[:6].reshape(2, 3), other.params["ip"][0].data)


def test_those_that_share_by_name_go_together() -> None:
    other = net_of(TIED.replace('name: "two"', 'name: "three"'))
    assert [*other.params] == ["one", "three"]
    solver = solver_of(TIED)
    solver.net.share_trained_from(other)
    solver.step(1)
    # loss = sum(W W x) / 4: either layer's gradient is 1.5
    assert weight(solver.net, "one") == weight(solver.net, "two") == weight(other, "one")
    assert weight(other, "one") == pytest.approx(0.5 - 0.1 * (1.5 + 1.5))


def test_a_layer_of_the_test_net_alone_shares_by_name_what_is_trained() -> None:
    branch = """
    layer { name: "also" type: "InnerProduct" bottom: "x" top: "also" param { name: "w" }
      include { phase: TEST } inner_product_param { num_output: 2 bias_term: false } }"""
    named = CONSTANT.replace('top: "ip"\n', 'top: "ip" param { name: "w" }\n')
    solver = solver_of(named + branch, "test_iter: 1 test_interval: 2")
    test = solver.test_nets[0]
    solver.step(3)
    assert weight(test, "also") == weight(test) == weight(solver.net)
    assert test.forward()["also"].tolist() == [[pytest.approx(3 * weight(test))] * 2] * 4


def test_those_that_share_by_name_and_have_got_different_memory_are_not_trained() -> None:
    apart = TIED.replace('param { name: "w" }', "")
    other = net_of(apart)
    solver = solver_of(TIED)
    solver.net.share_trained_from(other)
    assert (weight(solver.net, "one"), weight(solver.net, "two")) == (0.5, 9)
    assert solver.net.forward_pass() == pytest.approx(0.25 * 4 * 3 * 27 * 1.5)
    with pytest.raises(NetError, match="parameter one/0 and those that share it by name"):
        solver.step(1)


# --- gradients of other blobs -------------------------------------------------------------------


def test_a_gradient_in_other_memory_is_cleared_clipped_and_used(device: str) -> None:
    solver = solver_of(CONSTANT, "clip_gradients: 2", device=device)
    mine, elsewhere = solver.net.layers[1].blobs[0], Blob((2, 3))
    mine.share_diff(elsewhere)
    elsewhere.diff[...] = 99
    solver.net.clear_param_diffs()
    assert not np.any(elsewhere.diff)
    solver.net.forward_pass()
    solver.net.backward_pass()
    assert elsewhere.diff[...].tolist() == [[2] * 3] * 2
    factor = clip_factor(solver.net.flat_params, 2, solver.device, False)
    assert factor == pytest.approx(2 / np.sqrt(8 * 4))
    solver.apply_update()
    assert weight(solver.net) == pytest.approx(1 - 0.1 * 2 * factor)
    np.testing.assert_allclose(elsewhere.diff, 0.1 * 2 * factor, rtol=1e-6)


# --- other shapes -------------------------------------------------------------------------------


def test_a_parameter_that_has_once_been_larger_is_trained(device: str) -> None:
    solver = solver_of(CONSTANT, device=device)
    blob = solver.net.layers[1].blobs[0]
    blob.reshape(4, 3)
    blob.data[...] = 1
    blob.reshape(2, 3)
    solver.step(1)
    assert weight(solver.net) == pytest.approx(0.8)
    blob.reshape(1, 3)
    blob.reshape(2, 3)
    solver.step(1)
    assert weight(solver.net) == pytest.approx(0.8 - 0.1 * (2.4 - 0.2 - 1))
    assert np.asarray(solver.net.flat_params.data)[0] == blob.data[0, 0]


def test_one_of_two_that_share_by_name_grows_and_shrinks() -> None:
    solver = solver_of(TIED)
    for layer in (1, 2):
        blob = solver.net.layers[layer].blobs[0]
        blob.reshape(9, 9)
        blob.reshape(3, 3)
        blob.data[...] = 0.5
    solver.step(1)
    assert weight(solver.net, "one") == weight(solver.net, "two")
    assert weight(solver.net, "one") == pytest.approx(0.5 - 0.1 * (1.5 + 1.5))


@pytest.mark.parametrize("shape", [(4, 3), (1, 3)])
def test_a_parameter_of_another_count_is_refused(shape: tuple[int, int]) -> None:
    solver = solver_of(CONSTANT)
    told = rf"parameter ip/0 has {3 * shape[0]} elements now, shape \({shape[0]}, 3\)"
    solver.net.params["ip"][0].reshape(*shape)
    for action in (solver.net.forward_pass, solver.apply_update, lambda: solver.step(1)):
        with pytest.raises(NetError, match=told):
            action()
    assert solver.iter == 0


def test_a_python_layer_may_change_its_parameters_as_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counted_rows.py").write_text(
        """import caffe

class Rows(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)

    def reshape(self, bottom, top):
        self.blobs[0].reshape(bottom[0].num)
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.blobs[0].data[...] = bottom[0].num
        top[0].data[...] = self.blobs[0].data.reshape(-1, 1)

    def backward(self, top, propagate_down, bottom):
        pass
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    net = net_of(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "rows" type: "Python" bottom: "x" top: "y" param { lr_mult: 0 }
          python_param { module: "counted_rows" layer: "Rows" } }"""
    )
    for rows in (2, 4, 1):
        net.blobs["x"].reshape(rows, 3)
        assert net.forward()["y"].tolist() == [[rows] * 3] * rows


LAYERS = {
    "InnerProduct": ("num_output: 5", "inner_product_param", (5, 2, 3, 3)),
    "InnerProduct transposed": ("num_output: 5 transpose: true", "inner_product_param", (2, 9, 5)),
    "Convolution": ("num_output: 4 kernel_size: 2", "convolution_param", (4, 8)),
    "Deconvolution": ("num_output: 4 kernel_size: 2", "convolution_param", (2, 16)),
    "PReLU": ("", "prelu_param", (1, 2, 1, 1)),
    "BatchNorm": ("use_global_stats: true", "batch_norm_param", (1, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_go_on_with_a_parameter_of_another_shape(
    kind: str, device: str, tmp_path: Path
) -> None:
    options, message, shape = LAYERS[kind]
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape'
        " { dim: 1 dim: 2 dim: 3 dim: 3 } } }"
        f'layer {{ name: "l" type: "{kind.split()[0]}" bottom: "x" top: "y"'
        f" {message} {{ {options} }} }}"
    )
    net = net_of("force_backward: true " + text, device=device)
    random = np.random.default_rng(1)
    blob, x = net.params["l"][0], random.standard_normal((1, 2, 3, 3))
    old = blob.data.shape
    blob.data[...] = random.standard_normal(old)
    expected, values = net.forward(x=x)["y"].copy(), blob.data.copy()
    gradient = net.backward(y=np.ones_like(expected))["x"].copy()
    of_parameter = blob.diff.copy()
    blob.reshape(*shape)
    assert (blob.shape, blob.data.shape, blob.diff.shape) == (shape,) * 3
    assert np.array_equal(blob.data, values.reshape(shape))
    net.clear_param_diffs()
    assert np.array_equal(net.forward(x=x)["y"], expected)
    assert np.array_equal(net.backward(y=np.ones_like(expected))["x"], gradient)
    assert np.array_equal(blob.diff, of_parameter.reshape(shape))
    blob.data[...] *= 2
    net.save(str(tmp_path / "saved"))
    saved = pb.NetParameter.FromString((tmp_path / "saved").read_bytes())
    assert tuple(saved.layer[1].blobs[0].shape.dim) == shape
    assert np.array_equal(np.float32(saved.layer[1].blobs[0].data), 2 * values.ravel())
    blob.data[...] = 0
    net.copy_from(str(tmp_path / "saved"))
    assert np.array_equal(blob.data, 2 * values.reshape(shape))
    blob.reshape(*old)
    assert np.array_equal(blob.data, 2 * values)


def test_a_solver_goes_on_with_a_parameter_of_another_shape(tmp_path: Path) -> None:
    more = f'momentum: 0.9 snapshot_prefix: "{tmp_path}/s"'
    plain, changed = solver_of(CONSTANT, more), solver_of(CONSTANT, more)
    changed.step(1)
    changed.net.params["ip"][0].reshape(3, 2)
    changed.step(2)
    changed.snapshot()
    changed.step(1)
    plain.step(4)
    assert weight(plain.net) == weight(changed.net)
    resumed = solver_of(CONSTANT, more)
    resumed.net.params["ip"][0].reshape(3, 2)
    resumed.restore(f"{tmp_path}/s_iter_3.solverstate")
    resumed.step(1)
    assert weight(resumed.net) == weight(plain.net)
