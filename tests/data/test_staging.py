"""Batches go to a device ahead of the forward that wants them, and are the same ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.data.staging import stager
from minicaffe.device import load_kernel
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from tests.strange_device import FOLDER

NET = """
layer {{ name: "data" type: "ImageData" top: "x" top: "label"
  image_data_param {{ source: "{0}/list.txt" batch_size: 2 new_height: 3 new_width: 4 }} }}
layer {{ name: "y" type: "ReLU" bottom: "x" top: "y" }}
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 255, (3, 4, 3), np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{n}.png {n}\n" for n in range(6)))
    return tmp_path


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The device `apart`, with a way for batches; what went it."""
    memory = load_kernel("memory", FOLDER)
    gone: list[Any] = []

    def stage(host: Any, device: str) -> Any:
        gone.append(np.array(host))
        return gone[-1]

    monkeypatch.setattr(memory, "stage", stage, raising=False)
    monkeypatch.setattr(
        memory, "unstage", lambda staged, array: memory.upload(staged, array), raising=False
    )
    yield gone


def outputs(folder: Path, device: str, seek: int | None = None) -> list[Any]:
    net = Net(parse_text(NET.format(folder), pb.NetParameter()), minicaffe.TRAIN, device=device)
    found = []
    for turn in range(4):
        if turn == 2 and seek is not None:
            net.layers[0].seek(seek)
        net.forward_pass()
        found += [np.array(net.blob_dict[name].data) for name in ("y", "label")]
    net.layers[0].close()
    return found


@pytest.mark.parametrize("seek", [None, 0])
def test_staged_batches_are_those_of_the_run(
    pictures: Path, staged: list[Any], seek: int | None
) -> None:
    expected = outputs(pictures, "reference", seek)
    assert not staged
    for got, want in zip(outputs(pictures, FOLDER, seek), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(staged) >= 2 * 4


def test_a_device_without_such_a_way() -> None:
    assert stager("cpu") is None
    assert stager(FOLDER) is None
