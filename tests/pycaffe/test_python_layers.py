"""Layers that a program defines in Python."""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import LayerError

pytestmark = pytest.mark.usefixtures("on_reference")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of layers as one finds them, which says `import caffe`."""
    (tmp_path / "found_layers.py").write_text(
        textwrap.dedent("""
        import caffe
        import caffe.io
        import numpy as np
        import yaml_free as _  # a module beside it
        from caffe.proto import caffe_pb2

        class Distance(caffe.Layer):
            def setup(self, bottom, top):
                if len(bottom) != 2:
                    raise Exception("Need two inputs to compute distance.")
            def reshape(self, bottom, top):
                if bottom[0].count != bottom[1].count:
                    raise Exception("Inputs must have the same dimension.")
                self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
                top[0].reshape(1)
            def forward(self, bottom, top):
                self.diff[...] = bottom[0].data - bottom[1].data
                top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.
            def backward(self, top, propagate_down, bottom):
                for i in range(2):
                    if not propagate_down[i]:
                        continue
                    sign = 1 if i == 0 else -1
                    bottom[i].diff[...] = sign * self.diff / bottom[i].num

        class Fails(caffe.Layer):
            def setup(self, bottom, top): self.fail("setup")
            def reshape(self, bottom, top):
                self.fail("reshape")
                top[0].reshape(*bottom[0].data.shape)
            def forward(self, bottom, top): self.fail("forward")
            def backward(self, top, propagate_down, bottom): self.fail("backward")
            def fail(self, where):
                if self.param_str == where:
                    raise RuntimeError(f"nothing works in {where}")

        class Phase(caffe.Layer):
            def setup(self, bottom, top): self.blobs.add_blob(2, 3)
            def reshape(self, bottom, top): top[0].reshape()
            def forward(self, bottom, top): top[0].data[()] = self.phase
        """)
    )
    (tmp_path / "yaml_free.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "found_layers"
    sys.modules.pop("found_layers", None)
    sys.modules.pop("yaml_free", None)


def python_net(module: str, layer: str, bottoms: int = 1, **params: Any) -> Any:
    n = caffe.NetSpec()
    shape = {"dim": [3, 2]}
    inputs = [L.Input(shape=shape, name=f"in{i}") for i in range(bottoms)]
    n.mine = L.Python(*inputs, module=module, layer=layer, **params)
    proto = n.to_proto()
    proto.force_backward = True
    return caffe.Net(proto, caffe.TEST)


def test_a_loss_in_python_as_pycaffes_example_has_it(module: str) -> None:
    net = python_net(module, "Distance", bottoms=2, loss_weight=1)
    one, other = np.random.default_rng(4).normal(size=(2, 3, 2)).astype(np.float32)
    loss = net.forward(in0=one, in1=other)["mine"]
    np.testing.assert_allclose(loss, [((one - other) ** 2).sum() / 6], rtol=1e-6)
    grad = net.backward()
    np.testing.assert_allclose(grad["in0"], (one - other) / 3, rtol=1e-6)
    np.testing.assert_array_equal(grad["in1"], -grad["in0"])
    with pytest.raises(Exception, match="Need two inputs"):
        python_net(module, "Distance")


@pytest.mark.parametrize("where", ["setup", "reshape", "forward", "backward"])
def test_errors_of_a_layer_in_python_keep_their_type_and_name_the_layer(
    module: str, where: str
) -> None:
    with pytest.raises(RuntimeError, match=f"nothing works in {where}") as caught:
        net = python_net(module, "Fails", param_str=where, name="mine")
        net.forward()
        net.backward(mine=np.ones((3, 2)))
    (note,) = caught.value.__notes__  # the last frame is that of `fail`, in the file's line 36
    assert re.fullmatch(
        rf"layer 'mine' \(Python\): Fails.{where}, .*found_layers.py:36:"
        f" RuntimeError: nothing works in {where}",
        note,
    )


def test_a_layer_in_python_knows_its_phase_and_has_parameters(module: str) -> None:
    net = python_net(module, "Phase")
    assert net.forward()["mine"] == caffe.TEST
    assert net.params["mine"][0].data.shape == (2, 3)
    assert isinstance(net.layer_dict["mine"], caffe.Layer)


def test_a_layer_in_python_that_is_not_there(module: str) -> None:
    with pytest.raises(LayerError, match="layer 'mine' .*no module 'lost_layers'"):
        python_net("lost_layers", "Any", name="mine")
    with pytest.raises(LayerError, match="found_layers.Lost is not a class"):
        python_net(module, "Lost")


def test_arrays_of_a_python_layer_are_ndarrays_for_code_in_c_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layers_in_c.py").write_text(
        textwrap.dedent("""
        import copy, ctypes, pickle
        import caffe, cv2
        import numpy as np

        class Doubled(caffe.Layer):
            def setup(self, bottom, top): pass
            def reshape(self, bottom, top): top[0].reshape(6, 4)
            def forward(self, bottom, top):
                x, y = bottom[0].data, top[0].data
                assert isinstance(x, np.ndarray)
                assert memoryview(x).shape == (3, 2) and bytes(x) == x.tobytes()
                floats = x.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
                assert floats[5] == x[2, 1]
                for made in (x + 1, x[0], x[...], np.exp(x), x.sum(axis=0), np.where(x > 0, x, 0),
                             copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
                    assert type(made) is np.ndarray, type(made)
                assert type(x.sum()) is np.float32 and not isinstance(x.max(), np.ndarray)
                assert x.read("cpu").shape == (3, 2)
                x[0, 0] += 1
                assert bottom[0].data[0, 0] == x[0, 0]
                cv2.resize(x, (4, 6), y, interpolation=cv2.INTER_NEAREST)
                y *= 2
                np.add(y, 1, out=y)
            def backward(self, top, propagate_down, bottom):
                np.copyto(bottom[0].diff, top[0].diff[::2, ::2])

        class Weighted(caffe.Layer):
            def setup(self, bottom, top):
                self.blobs.add_blob(2)
                self.blobs[0].data[...] = 3
                assert memoryview(self.blobs[0].data).shape == (2,)
            def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
            def forward(self, bottom, top):
                cv2.multiply(bottom[0].data, np.tile(self.blobs[0].data, (3, 1)), top[0].data)
            def backward(self, top, propagate_down, bottom):
                both = top[0].diff * bottom[0].data
                cv2.reduce(both, 0, cv2.REDUCE_SUM, self.blobs[0].diff[None])
                np.copyto(bottom[0].diff, 0)

        class InPlace(caffe.Layer):
            def setup(self, bottom, top): assert top[0] is bottom[0]
            def reshape(self, bottom, top): pass
            def forward(self, bottom, top): top[0].data[...] += 1
            def backward(self, top, propagate_down, bottom): bottom[0].diff[...] *= 2
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    net = python_net("layers_in_c", "Doubled")
    given = net.forward(in0=np.arange(6).reshape(3, 2))["mine"]
    assert type(given) is np.ndarray
    assert given[:, ::2].tolist() == [[3, 3], [3, 3], [5, 7], [5, 7], [9, 11], [9, 11]]
    dy = np.arange(24).reshape(6, 4)
    assert net.backward(mine=dy)["in0"].tolist() == dy[::2, ::2].tolist()
    net = python_net("layers_in_c", "Weighted", name="mine")
    x = np.arange(6).reshape(3, 2)
    assert net.forward(in0=x)["mine"].tolist() == (3 * x).tolist()
    net.backward(mine=np.ones((3, 2)))
    assert net.params["mine"][0].diff.tolist() == [6, 9]
    net = caffe.NetSpec()
    net.x = L.Input(shape={"dim": [2]})
    net.mine = L.Python(net.x, module="layers_in_c", layer="InPlace", in_place=True)
    net.y = L.Power(net.mine, scale=3)
    proto = net.to_proto()
    proto.force_backward = True
    built = caffe.Net(proto, caffe.TEST)
    assert built.forward(x=np.array([1, 2]))["y"].tolist() == [6, 9]
    assert built.backward(y=np.ones(2))["x"].tolist() == [6, 6]


PARAMETERS = """
import caffe
import numpy as np

class Gain(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(3).data[...] = 2
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        assert isinstance(self.blobs[0].data, np.ndarray)
        top[0].data[...] = bottom[0].data * self.blobs[0].data
    def backward(self, top, propagate_down, bottom):
        assert isinstance(self.blobs[0].diff, np.ndarray)
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0)
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data
"""
GAIN = """
layer { name: "d" type: "DummyData" top: "x" top: "y"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 3 }
    data_filler { value: 1 } data_filler { value: 5 } } }
layer { name: "gain" type: "Python" bottom: "x" top: "z"
  python_param { module: "layers_with_gain" layer: "Gain" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
"""


def test_parameters_of_a_python_layer_are_ndarrays_and_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """w = 2, x = 1, y = 5: the gradient of sum((w x - y)^2) / 2 N is w - 5, a step of 0.5 of it."""
    (tmp_path / "layers_with_gain.py").write_text(PARAMETERS)
    (tmp_path / "net.prototxt").write_text(GAIN)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.5 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "s"'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    caffe.use_device(device)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(1)
    assert solver.net.params["gain"][0].data.tolist() == [3.5] * 3
    assert solver.net.layers[1].blobs[0].data.tolist() == [3.5] * 3
    solver.snapshot()
    solver.step(1)
    assert solver.net.layers[1].blobs[0].data.tolist() == [4.25] * 3
    solver.restore("s_iter_1.solverstate")
    assert solver.net.layers[1].blobs[0].data.tolist() == [3.5] * 3
    sys.modules.pop("layers_with_gain")
