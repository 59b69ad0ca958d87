"""answers.toml: each number is what the product computes for nets/digits.prototxt."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from minicaffe import TEST, TRAIN
from minicaffe.errors import did_you_mean
from minicaffe.net.cost import layer_cost
from minicaffe.net.memory_plan import plan_memory
from minicaffe.net.net import Net
from minicaffe.proto.files import read_net

NET = Path(__file__).resolve().parents[1] / "nets" / "digits.prototxt"


@cache
def net(phase: int) -> Net:
    """The net of the questions; on the device reference, for which nothing is compiled."""
    return Net(read_net(NET), phase, device="reference")


def cost(layer: str) -> Any:
    """Operations and bytes of a layer in phase TRAIN."""
    return layer_cost(net(TRAIN), net(TRAIN).layer_index(layer))


def flop_per_byte(layer: str) -> float:
    """Of forward and backward."""
    found = cost(layer)
    moved = found.forward_bytes + found.backward_bytes
    return float((found.forward_flops + found.backward_flops) / moved)


def tops_mb() -> float:
    """Of all layers, in MB."""
    return sum(cost(name).top_bytes for name in net(TRAIN).layer_names) / 1e6


def first_line(layer: str) -> int:
    """Where a layer begins in the file."""
    node = next(node for node in net(TRAIN).nodes if node.name == layer)
    assert node.place is not None
    return node.place.first


def backward_calls(layer: str) -> int:
    """How many functions of its kernels a layer's backward calls, seen by calling it."""
    node = next(node for node in net(TRAIN).nodes if node.name == layer)
    calls: list[str] = []

    class Counted:
        """The kernel functions, which write down their names."""

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(ops, name)

    ops, node.layer.ops = node.layer.ops, Counted()
    node.layer.backward(node.tops, node.propagate_down, node.bottoms)
    node.layer.ops = ops
    return len(calls)


# The key, what is expected, how far off the answer may be, and where to look.
QUESTIONS: dict[str, tuple[Callable[[], float], float, str]] = {
    "conv1_parameters": (lambda: cost("conv1").learnable, 0, "summary's column parameters"),
    "conv2_parameters": (lambda: cost("conv2").learnable, 0, "summary's column parameters"),
    "pool1_width": (lambda: net(TRAIN).blob_dict["pool1"].shape[3], 0, "summary's top shapes"),
    "all_parameters": (lambda: net(TRAIN).flat_params.count, 0, "the row sum of summary"),
    "conv2_mflop": (lambda: cost("conv2").forward_flops / 1e6, 0.006, "summary's column MFLOP"),
    "tops_mb": (tops_mb, 0.006, "the row sum of summary"),
    "test_layers": (lambda: len(net(TEST).nodes), 0, "the rows of summary with -phase TEST"),
    "shared_buffers": (
        lambda: len(plan_memory(net(TEST).nodes, net(TEST).output_names).buffers), 0,
        "the last line of summary with -phase TEST",
    ),
    "conv1_flop_per_byte": (
        lambda: flop_per_byte("conv1"), 0.05 * flop_per_byte("conv1"),
        "GFLOP/s divided by GB/s in the row conv1 of time",
    ),
    "relu1_flop_per_byte": (
        lambda: flop_per_byte("relu1"), 0.05 * flop_per_byte("relu1"),
        "GFLOP/s divided by GB/s in the row relu1 of time",
    ),
    "conv2_first_line": (lambda: first_line("conv2"), 0, "the first line of inspect"),
    "conv2_backward_calls": (
        lambda: backward_calls("conv2"), 0, "the calls that inspect lists below backward",
    ),
}  # fmt: skip


@pytest.fixture
def answers(lab_folder: Path) -> dict[str, Any]:
    """What the student has written."""
    text = (lab_folder / "answers.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        pytest.fail(f"answers.toml cannot be read: {error}; a line is key = number")


@pytest.mark.parametrize("key", QUESTIONS)
def test_answer(key: str, answers: dict[str, Any]) -> None:
    expected, within, where = QUESTIONS[key]
    if key not in answers:
        pytest.fail(f"answers.toml has no {key}{did_you_mean(key, list(answers))}")
    value = answers[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        pytest.fail(f"answers.toml: {key} = {value!r}: a number is expected")
    if not abs(value - expected()) <= within:
        pytest.fail(f"answers.toml: {key} = {value} is not what minicaffe computes: read {where}")
