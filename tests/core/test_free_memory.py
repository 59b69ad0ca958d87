"""What does not fit into memory is refused by an error that says how much it was."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.blob import Blob
from minicaffe.errors import Error, LayerError
from minicaffe.layer import Layer
from minicaffe.machine import free_memory
from minicaffe.machine.free_memory import free_bytes, zeros
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 3 MiB free and 1 MiB of swap, whose control group has no limit."""
    files = {
        "MEMORY": "MemTotal: 9999 kB\nMemAvailable:    3072 kB\nSwapFree: 1024 kB\n",
        "GROUP_LIMIT": "max\n",
        "GROUP_USE": "5000000\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(free_memory, name, str(tmp_path / name))
    monkeypatch.setattr(free_memory, "LARGE", 1 << 20)
    return tmp_path


def test_what_is_free(machine: Path) -> None:
    assert free_bytes() == 4 << 20
    (machine / "GROUP_LIMIT").write_text("7000000\n")
    assert free_bytes() == 2_000_000
    (machine / "GROUP_USE").write_text("8000000\n")
    assert free_bytes() == 0
    (machine / "GROUP_LIMIT").unlink()
    (machine / "MEMORY").write_text("MemTotal: 9999 kB\n")
    assert free_bytes() is None


def test_large_arrays_are_compared_with_it(machine: Path) -> None:
    assert not zeros(1 << 20).any()
    with pytest.raises(Error, match=r"an array of 1048577 numbers takes 0\.0 GB, 0\.0 GB are free"):
        zeros((1 << 20) + 1)
    (machine / "MEMORY").unlink()
    assert zeros((1 << 20) + 1).size == (1 << 20) + 1


def test_small_arrays_are_not(machine: Path) -> None:
    (machine / "MEMORY").write_text("MemAvailable: 0 kB\nSwapFree: 0 kB\n")
    assert zeros(1000).size == 1000


def no_memory(count: Sequence[int], dtype: type) -> None:
    raise MemoryError("Unable to allocate")


def test_memory_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "zeros", no_memory)
    with pytest.raises(Error, match="no memory for an array of 10 numbers"):
        Blob((10,)).data.read("cpu")


def test_a_layer_that_runs_out_of_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def reshape(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
    )
    net = Net(parse_text(text, pb.NetParameter()), minicaffe.TEST, device="reference")
    monkeypatch.setattr(type(net.layers[1]), "reshape", reshape)
    with pytest.raises(LayerError, match=r"'r' \(ReLU\): there is not enough memory \(Unable"):
        net.forward_pass()


def test_a_net_too_large_for_a_blob_is_refused_at_once() -> None:
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 4294967295 } }"
    )
    with pytest.raises(Error, match=r"shape \(4294967295, 3\) has more than 2147483647 elements"):
        Net(parse_text(text, pb.NetParameter()), minicaffe.TEST, device="reference")
