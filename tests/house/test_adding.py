"""What docs/adding.md shows runs as it stands there, from a folder of MINICAFFE_PATH."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

PAGE = CHECKOUT / "docs" / "adding.md"
EXAMPLE = re.compile(r"^\*\*`~/lab/([\w/]+\.py)`\*\*\n\n```python\n(.*?)```", re.M | re.S)
FILES = dict(EXAMPLE.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with all the examples of the page."""
    for name, text in FILES.items():
        (tmp_path / "lab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lab" / name).write_text(text, encoding="utf-8")
    return tmp_path / "lab"


def run(lab: Path, *words: str) -> str:
    """What a Python of its own prints that has the folder in its MINICAFFE_PATH; it ends well."""
    environment = {"MINICAFFE_PATH": str(lab), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def count_passing(lab: Path, *words: str) -> int:
    """Run tests of ours, which must pass; how many."""
    told = run(lab, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words)
    found = re.search(r"(\d+) passed", told)
    assert found and "failed" not in told and "skipped" not in told, told
    return int(found[1])


def test_the_page_shows_each() -> None:
    folders = ("layers", "kernels/cpu", "kernels/plain", "solver/rules", "data/sources",
               "distributed/transport", "distributed/sync", "layers/fused")  # fmt: skip
    assert [name.rpartition("/")[0] for name in FILES] == [*folders]
    rooms = {"solver", "data"}  # of the core, whose files lie below minicaffe/ in the checkout
    for name in FILES:
        place = Path("minicaffe", name) if name.partition("/")[0] in rooms else Path(name)
        known = (CHECKOUT / place).exists()
        assert known == (name == "kernels/cpu/relu.py"), f"{name} is an example no more"


def test_a_layer(lab: Path) -> None:
    """Its gradient is that of differences, its devices agree."""
    assert count_passing(lab, "tests/layers/test_layer_docstrings.py", "-k", "TanhShrink") == 3


def test_a_kernel(lab: Path) -> None:
    """It takes the place of the product's, in the cache of compiled code too."""
    show = "from minicaffe.device import load_kernel as load; print(load('relu', 'cpu').__file__)"
    assert run(lab, "-c", show) == str(lab / "kernels/cpu/relu.py")
    assert count_passing(lab, "tests/layers/test_layer_docstrings.py", "-k", "ReLU") >= 5


DEVICE = """
import logging
import numpy as np
from minicaffe.device import known_devices
from minicaffe.net.net import Net
from minicaffe.proto.text import parse_text
from minicaffe.proto import minicaffe_pb2 as pb

logging.basicConfig(level=logging.INFO)
NET = '''
layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { type: "ReLU" name: "y" bottom: "x" top: "y" relu_param { negative_slope: 0.5 } }
layer { type: "Power" name: "z" bottom: "y" top: "z" power_param { power: 2 } }
force_backward: true
'''
assert "plain" in known_devices()
net = Net(parse_text(NET, pb.NetParameter()), 0, device="plain")
assert [layer.device for layer in net.layers] == ["plain", "plain", "cpu"]
net.blob_dict["x"].data[...] = [[-2, -1, 0], [1, 2, 3]]
net.forward_pass()
net.blob_dict["z"].diff[...] = 1
net.backward_pass()
np.testing.assert_array_equal(net.blob_dict["z"].data, [[1, 0.25, 0], [1, 4, 9]])
np.testing.assert_array_equal(net.blob_dict["x"].diff, [[-1, -0.5, 0], [2, 4, 6]])
"""


def test_a_device(lab: Path) -> None:
    """What it has runs on it, the rest on the CPU."""
    run(lab, "-c", DEVICE)
    assert count_passing(lab, "tests/layers/test_layer_docstrings.py", "-k", "agree and ReLU") >= 2


SOLVER = """
import numpy as np
from minicaffe import context
from minicaffe.solver.create import create_solver
from minicaffe.proto.text import parse_text
from minicaffe.proto import minicaffe_pb2 as pb

SOLVER = '''
type: "Lion" base_lr: 0.125 lr_policy: "fixed" momentum: 0.75 momentum2: 0.5 max_iter: 3
random_seed: 1 net_param {
  layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
    shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
  layer { name: "y" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
    num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" } }
'''
seen = {}
for device in ("reference", "cpu"):
    with context.fresh():
        solver = create_solver(parse_text(SOLVER, pb.SolverParameter()), device=device)
        before = np.array(solver.net.flat_params.data.read("cpu"))
        solver.step(1)
        after = np.array(solver.net.flat_params.data.read("cpu"))
        np.testing.assert_allclose(np.abs(after - before), 0.125, rtol=1e-5)  # all of one size
        solver.step(2)
        seen[device] = np.array(solver.net.flat_params.data.read("cpu"))
np.testing.assert_allclose(*seen.values(), rtol=1e-5)
"""


def test_a_solver(lab: Path) -> None:
    """It trains, by its rule, alike on both devices."""
    run(lab, "-c", SOLVER)
    assert count_passing(lab, "tests/solver/test_every_solver.py", "-k", "Lion") == 1


SOURCE = """
import sys
import numpy as np
from minicaffe.net.net import Net
from minicaffe.proto.text import parse_text
from minicaffe.proto import minicaffe_pb2 as pb

path = sys.argv[1]
with open(path, "w") as file:
    file.write("3,1,2\\n4,5,6\\n5,7\\n6,8,9\\n")
NET = '''
layer { name: "d" type: "MemoryData" top: "data" top: "label" source_class: "CommaFile"
  memory_data_param { source: "%s" batch_size: 2 channels: 1 height: 1 width: 2 } }
''' % path
net = Net(parse_text(NET, pb.NetParameter()), 1)
seen = []
for _ in range(3):
    net.forward_pass()
    seen += net.blob_dict["label"].data.tolist()
assert seen == [3, 4, 6, 3, 4], seen  # a line that cannot be read is left out
assert net.blob_dict["data"].data.reshape(2, 2).tolist() == [[1, 2], [5, 6]]
net.close()
"""


def test_a_data_source(lab: Path, tmp_path: Path) -> None:
    """It feeds a net; a damaged line is left out."""
    run(lab, "-c", SOURCE, str(tmp_path / "samples.txt"))


def test_a_transport(lab: Path) -> None:
    """It carries the ring, and tells of all that can go wrong in it."""
    rooms = ("tests/distributed/ring/test_ring.py", "tests/distributed/transport/test_transport.py")
    assert count_passing(lab, *rooms, "-k", "local and not test_allreduce") > 20


FUSED = """
import numpy as np
from minicaffe import context
from minicaffe.net.net import Net
from minicaffe.proto.text import parse_text
from minicaffe.proto import minicaffe_pb2 as pb

NET = '''
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }
layer { name: "y" type: "Scale" bottom: "x" top: "y" scale_param { filler { value: 3 } } }
layer { name: "z" type: "Bias" bottom: "y" top: "y" bias_param { filler { value: 5 } } }
force_backward: true
'''
seen = []
for fuse in (True, False):
    net = Net(parse_text(NET, pb.NetParameter()), 0, fuse=fuse)
    assert [len(group.nodes) for group in net.groups] == [2] * fuse
    net.blob_dict["x"].data[...] = np.arange(24).reshape(2, 3, 4)
    net.forward_pass()
    net.blob_dict["y"].diff[...] = 1 + np.arange(24).reshape(2, 3, 4)
    net.clear_param_diffs()
    net.backward_pass()
    blobs = (net.blob_dict["y"].data, net.blob_dict["x"].diff, net.flat_params.diff.read("cpu"))
    seen.append([np.array(values) for values in blobs])
for fused, single in zip(*seen):
    np.testing.assert_allclose(fused, single, rtol=1e-6)
assert seen[0][0].reshape(-1).tolist() == [3 * i + 5 for i in range(24)]
"""


def test_a_way_of_synchronisation(lab: Path) -> None:
    """Ranks that say they are equal are so; a rank alone trains as without."""
    assert count_passing(lab, "tests/distributed/sync", "-k", "at_the_end") == 4


def test_a_fused_chain(lab: Path) -> None:
    """It runs, and gives what its layers give one by one."""
    run(lab, "-c", FUSED)


SPARK = """
import sys
from pathlib import Path
import numpy as np
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.net.weights import load_weights
from tests.spark_cluster import spark_context

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
lines = [f"{i % 2},{(i % 2) + rng.random() / 4},{rng.random()}" for i in range(40)]
(folder / "samples.txt").write_text("\\n".join(lines))
(folder / "net.prototxt").write_text('''
layer { name: "d" type: "MemoryData" top: "data" top: "label" source_class: "CommaFile"
  memory_data_param { source: "%s" batch_size: 4 channels: 1 height: 1 width: 2 } }
layer { name: "shrink" type: "TanhShrink" bottom: "data" top: "shrink" }
layer { name: "scale" type: "Scale" bottom: "shrink" top: "scale" }
layer { name: "bias" type: "Bias" bottom: "scale" top: "scale" }
layer { name: "relu" type: "ReLU" bottom: "scale" top: "relu" }
layer { name: "ip" type: "InnerProduct" bottom: "relu" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
''' % (folder / "samples.txt"))
(folder / "solver.prototxt").write_text('''
net: "%s" type: "Lion" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 momentum2: 0.99
random_seed: 1 max_iter: 30 display: 5 snapshot_after_train: false
''' % (folder / "net.prototxt"))
with spark_context("local[2]") as sc:
    conf = Config(sc, ["-conf", str(folder / "solver.prototxt"), "-clusterSize", "2",
                       "-connection", "local", "-device", "plain", "-model", str(folder / "m")])
    CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    where = sc.parallelize([0], 1).map(lambda _: __import__("minicaffe.layers.tanh_shrink",
        fromlist=["x"]).__file__).collect()
print(where[0])
"""


@pytest.mark.slow
def test_all_of_them_through_spark(lab: Path, tmp_path: Path) -> None:
    """Two ranks in processes of their own, where the folder is a zip that Spark has brought."""
    told = run(lab, "-c", SPARK, str(tmp_path))
    assert re.search(r"minicaffe-path-\w+\.zip/minicaffe_path/layers/tanh_shrink\.py$", told), told
    assert (tmp_path / "m").stat().st_size > 0
    loss = [line.split(",") for line in (tmp_path / "m.metrics.csv").read_text().splitlines()]
    column = loss[0].index("loss")
    assert float(loss[-1][column]) < float(loss[1][column])
