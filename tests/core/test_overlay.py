"""MINICAFFE_PATH: files of a folder take the product's place, through every door and import."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT


def product(name: str) -> str:
    """The text of a file of the product."""
    return (CHECKOUT / name).read_text(encoding="utf-8")


FILL = product("kernels/cpu/fill.py")

# In every folder a file of its own, or what the product has there, with a mark.
LAB = {
    "layers/sigmoid.py": product("layers/sigmoid.py") + "MARK = 1\n",
    "layers/twice.py": (
        "from .sigmoid import SigmoidLayer\n\nclass TwiceLayer(SigmoidLayer):\n    pass\n"
    ),
    "layers/_shared.py": "MARK = 2\n",
    "kernels/mine/relu.py": "from ..reference.relu import backward, forward\n",
    "kernels/reference/cube.py": "def forward(x, y):\n    y[...] = x**3\n",
    "kernels/_mine.py": "MARK = 3\n",
    "solver/rules/mine.py": (
        "from ..solver import Solver\n\nclass MineSolver(Solver):\n    type = 'Mine'\n"
    ),
    "data/sources/mine.py": (
        "from ..source import DataSource\n\nclass Mine(DataSource):\n    pass\n"
    ),
    "distributed/transport/pigeon.py": "def listen(url):\n    return f'on the roof of {url}'\n",
    "distributed/ring.py": product("distributed/ring.py") + "MARK = 4\n",
    "net/scores.py": product("minicaffe/net/scores.py") + "MARK = 5\n",
    "cli/hello.py": '"""Say hello."""\n\ndef configure(parser):\n    pass\n\ndef run(args):\n'
    "    print('hello')\n",
}  # fmt: skip

FACTS = """
import json
from minicaffe import layer, device, overlay
from minicaffe.data.source import source_class
from minicaffe.distributed import ring
from minicaffe.distributed.transport import known_schemes, open_transport
from minicaffe.layers import _shared, sigmoid, twice
from minicaffe.kernels import _mine
from minicaffe.net import scores
from minicaffe.solver.create import known_solvers
from minicaffe.proto import minicaffe_pb2 as pb
made = layer.create_layer(pb.LayerParameter(name="t", type="Twice"), "reference", 0)
print(json.dumps({
    "layers": sorted({"Twice", "Sigmoid", "ReLU"} & set(layer.layer_type_list())),
    "sigmoid": [sigmoid.MARK, sigmoid.SigmoidLayer.__mro__[1].__module__, sigmoid.__name__],
    "twice": type(made).__module__,
    "marks": [_shared.MARK, _mine.MARK, ring.MARK, scores.MARK],
    "devices": device.known_devices(),
    "families": sorted(device.known_families("mine")),
    "cube": device.load_kernel("cube", "reference").__name__,
    "relu": device.load_kernel("relu", "mine").forward.__module__,
    "solver": known_solvers()["Mine"].__module__,
    "source": source_class("com.yahoo.ml.caffe.Mine").__module__,
    "schemes": known_schemes(),
    "carried": open_transport("pigeon://roof"),
    "overlaid": [name for name in ("layers.sigmoid", "layers.relu", "net.scores", "net.net",
                 "kernels.mine.relu", "kernels.reference.relu", "nothing")
                 if overlay.is_overlaid("minicaffe." + name)],
}))
"""

EXPECTED = {
    "layers": ["ReLU", "Sigmoid", "Twice"],
    "sigmoid": [1, "minicaffe.layers._neuron", "minicaffe.layers.sigmoid"],
    "twice": "minicaffe.layers.twice",
    "marks": [2, 3, 4, 5],
    "devices": ["cpu", "cuda", "mine", "reference"],
    "families": ["relu"],
    "cube": "minicaffe.kernels.reference.cube",
    "relu": "minicaffe.kernels.reference.relu",
    "solver": "minicaffe.solver.rules.mine",
    "source": "minicaffe.data.sources.mine",
    "schemes": ["inproc", "pigeon", "rdma", "shm", "tcp", "unix"],
    "carried": "on the roof of pigeon://roof",
    "overlaid": ["layers.sigmoid", "net.scores", "kernels.mine.relu"],
}


def fill(folder: Path, files: dict[str, str]) -> Path:
    """A folder with such files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def python(*words: str, path: object, cwd: Path, status: int = 0, **environment: str) -> str:
    """What a Python of its own prints; on standard error where it must fail."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=cwd,
        env={"PYTHONPATH": str(CHECKOUT), **os.environ, **environment, "MINICAFFE_PATH": str(path)},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return (done.stderr if status else done.stdout).strip()


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder that mirrors the rooms."""
    return fill(tmp_path / "lab", LAB)


def test_files_come_first_through_every_door_and_import(lab: Path, tmp_path: Path) -> None:
    facts: dict[str, Any] = json.loads(python("-c", FACTS, path=lab, cwd=tmp_path))
    assert facts == EXPECTED
    assert python("-m", "minicaffe", "hello", path=lab, cwd=tmp_path) == "hello"


def test_they_travel_in_a_zip_that_python_finds_by_its_name(lab: Path, tmp_path: Path) -> None:
    """As on Spark's executors, where the zip lies in a folder that nobody knows before."""
    ship = (
        "import sys, pathlib\n"
        "from minicaffe.distributed.spark.shipping.package_code import overlay_zip, package_zip\n"
        "for zip in (overlay_zip, package_zip): print(zip(pathlib.Path(sys.argv[1])))\n"
    )
    there = tmp_path / "there"
    there.mkdir()
    mirror, package = python("-c", ship, str(there), path=lab, cwd=tmp_path).split()
    entry = f"{Path(mirror).name}/minicaffe_path"
    shipped = {"PYTHONPATH": os.pathsep.join([package, mirror])}
    facts = json.loads(python("-c", FACTS, path=entry, cwd=tmp_path, **shipped))
    assert facts == EXPECTED
    bare = "import importlib.util as u; print([u.find_spec(x) for x in ('layers', 'distributed')])"
    assert python("-c", bare, path=entry, cwd=tmp_path, **shipped) == "[None, None]"


def test_the_first_of_two_folders_holds(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", {"layers/_both.py": "MARK = 1\n"})
    two = fill(tmp_path / "two", {"layers/_both.py": "MARK = 2\n", "layers/_two.py": "MARK = 3\n"})
    show = "from minicaffe.layers import _both, _two; print(_both.MARK, _two.MARK)"
    assert python("-c", show, path=f"{one}:{two}", cwd=tmp_path) == "1 3"
    assert python("-c", show, path="two:one:", cwd=tmp_path) == "2 3"


def test_a_package_file_leaves_the_products_files_in_sight(tmp_path: Path) -> None:
    lab = fill(tmp_path / "lab", {"layers/__init__.py": "MARK = 1\n", "net/__init__.py": ""})
    show = (
        "import minicaffe.layers, minicaffe.layers.relu, minicaffe.net.net;"
        "print(minicaffe.layers.MARK)"
    )
    assert python("-c", show, path=lab, cwd=tmp_path) == "1"


def test_without_the_variable_nothing_stands_between(tmp_path: Path) -> None:
    show = "import sys, minicaffe; print('minicaffe.overlay' in sys.modules, minicaffe.__path__[0])"
    assert python("-c", show, path="", cwd=tmp_path) == f"False {CHECKOUT / 'minicaffe'}"


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("kernel/cpu/relu.py", "did you mean kernels/cpu/relu.py?"),
        ("layer/relu.py", "did you mean layers/relu.py?"),
        ("relu.py", "expected in LAB are layers/TYPE.py, kernels/DEVICE/FAMILY.py or a path below"),
        ("kernels/relu.py", "mirrors no file of minicaffe"),
        ("net/nets.py", "did you mean net/net.py?"),
        ("__init__.py", "kernels, layers, machine, monitor, net, "),
    ],
)
def test_a_file_that_mirrors_nothing_is_named_in_one_line(
    file: str, words: str, tmp_path: Path
) -> None:
    lab = fill(tmp_path / "lab", {file: "", "tests/test_it.py": "", "data/mnist/images": ""})
    told = python("-m", "minicaffe", "summary", "x", path=lab, cwd=tmp_path, status=1)
    assert "\n" not in told
    assert told.startswith(f"minicaffe: error: MINICAFFE_PATH: {lab / file} mirrors no file of")
    assert words.replace("LAB", str(lab)) in told


def test_beside_a_lab_and_in_a_virtual_environment_other_files_may_lie(tmp_path: Path) -> None:
    place = fill(tmp_path / "one", {"venv/pyvenv.cfg": "", "venv/lib/thing.py": "1 / 0"})
    assert python("-m", "minicaffe", "--version", path=place, cwd=tmp_path)
    place = fill(tmp_path / "two", {"scratch.py": "1 / 0", "notes/a.py": "", ".lab.json": "{}"})
    assert python("-m", "minicaffe", "--version", path=place, cwd=tmp_path)


def test_a_folder_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    told = python("-m", "minicaffe", "summary", "x", path="nowhere", cwd=tmp_path, status=1)
    assert told == f"minicaffe: error: MINICAFFE_PATH: there is no folder {tmp_path / 'nowhere'}"
    told = python("-c", "import minicaffe.layer", path="nowhere", cwd=tmp_path, status=1)
    assert told.splitlines()[-1].startswith("minicaffe.errors.Error: MINICAFFE_PATH: there is no")


# --- what follows --------------------------------------------------------------------------------


COMPILED = """
import numpy as np
from minicaffe.device import load_kernel
from minicaffe.kernels.cpu._compile import jit
x = np.zeros(5, np.float32)
load_kernel("fill", "cpu").fill(x, 3)
stats = [kernel.part.stats for kernel in jit.known if "part" in vars(kernel)]
print(x[0], sum(len(s.cache_hits) for s in stats), sum(len(s.cache_misses) for s in stats))
"""


def test_compiled_code_follows_the_file(tmp_path: Path) -> None:
    cache = {"MINICAFFE_CACHE_DIR": str(tmp_path / "cache"), "MINICAFFE_NUM_THREADS": "1"}

    def run(path: object) -> str:
        return python("-c", COMPILED, path=path, cwd=tmp_path, **cache)

    lab = fill(tmp_path / "lab", {"kernels/cpu/fill.py": FILL.replace("= value", "= value + 1.0")})
    assert [run(""), run(lab), run(lab)] == ["3.0 0 1", "4.0 0 1", "4.0 1 0"]
    fill(lab, {"kernels/cpu/fill.py": FILL.replace("= value", "= value + 22.0")})
    assert [run(lab), run("")] == ["25.0 0 1", "3.0 1 0"]


GROUPS = """
import sys
from minicaffe.net.net import Net
from minicaffe.proto.text import parse_text
from minicaffe.proto import minicaffe_pb2 as pb
TEXT = '''
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "sum" }
layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }
'''
net = Net(parse_text(TEXT, pb.NetParameter()), 1)
print(len(net.groups))
"""


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        (("layers/tanh.py",), 1),
        (("layers/relu.py",), 0),
        (("kernels/cpu/relu.py",), 0),
        (("kernels/cpu/relu.py", "layers/fused/eltwise_relu.py"), 1),
    ],
    ids=["others", "type", "family", "group"],
)
def test_layers_of_a_folder_are_not_passed_over_by_a_group(
    files: tuple[str, ...], groups: int, tmp_path: Path
) -> None:
    lab = fill(tmp_path, {file: product(file) for file in files})
    assert python("-c", GROUPS, path=lab, cwd=tmp_path) == str(groups)
