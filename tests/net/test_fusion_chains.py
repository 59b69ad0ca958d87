"""Chains of layers that run as one: each file of layers/fused/ names its own."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.errors import Error
from minicaffe.net.fusion import _chains_in, known_chains
from tests.conftest import CHECKOUT

POWER_TANH = (("Power", "TanH"),)


def test_the_classes_say_what_their_files_say() -> None:
    assert ("BatchNorm", "Scale", "ReLU") in known_chains()
    for types, name in known_chains().items():
        found = importlib.import_module(f"minicaffe.layers.fused.{name}").Group
        assert types in found.replaces


def source(line: str) -> str:
    return f'class Group(Fused):\n    """y."""\n\n    {line}\n    kernel = "tanh"\n'


@pytest.mark.parametrize(
    "line",
    [
        'replaces = (("Power", "TanH"),)',
        'replaces: ClassVar[tuple[tuple[str, ...], ...]] = (("Power", "TanH"),)',
        'replaces = (\n        ("Power", "TanH"),  # no other\n    )',
    ],
)
def test_chains_are_read_from_the_text(line: str) -> None:
    assert _chains_in(source(line), "mine") == POWER_TANH


@pytest.mark.parametrize(
    "line",
    ['replaces = tuple([("Power", "TanH")])', 'replaces = ("Power", "TanH")', "replaces = ()", ""],
)
def test_a_file_that_names_no_chain_is_refused(line: str) -> None:
    with pytest.raises(Error, match=r"layers/fused/mine.py does not say .* replaces = \(\("):
        _chains_in(source(line), "mine")


MINE = """
from minicaffe.net.fusion import Group as FusionGroup

class Group(FusionGroup):
    replaces = (("Power", "TanH"),)
    kernel = "fill"

    def fits(self):
        return True

    def forward(self):
        self.ops.fill(self.top.data.write(self.device), 7)

    def backward(self):
        pass
"""
RUN = """
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
text = '''
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    layer { name: "y" type: "Power" bottom: "x" top: "y" }
    layer { name: "tanh" type: "TanH" bottom: "y" top: "y" }
'''
for device in ("cpu", "reference"):
    net = Net(parse_text(text, pb.NetParameter()), 0, device=device)
    net.forward_pass()
    print([[node.name for node in group.nodes] for group in net.groups], net.blob_dict["y"].data[0])
"""


def test_a_new_chain_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "layers" / "fused").mkdir(parents=True)
    (tmp_path / "layers" / "fused" / "mine.py").write_text(MINE)
    environment = {**os.environ, "MINICAFFE_PATH": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == 2 * ["[['y', 'tanh']] 7.0"]
