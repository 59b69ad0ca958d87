"""The door of the device `cuda`: which kernels ran and how, and the PTX that was run."""

import importlib

import numpy as np
import pytest

from minicaffe.device import available, load_kernel
from minicaffe.inspection.as_json import dumps, loads
from minicaffe.inspection.facts import Listing
from minicaffe.ptx import parse


@pytest.fixture(scope="module")
def door():
    """kernels/cuda/_inspect; skipped where nothing can run the kernels."""
    can, why = available("cuda")
    if not can:
        pytest.skip(why)
    return importlib.import_module("minicaffe.kernels.cuda._inspect")


@pytest.fixture(scope="module")
def ran(door):
    """What ReLU's forward and a product ran."""
    memory, relu, gemm = (load_kernel(name, "cuda") for name in ("memory", "relu", "gemm"))

    def array(*shape):
        made = memory.allocate(int(np.prod(shape)), "cuda").reshape(*shape)
        memory.upload(np.ones(shape, np.float32), made)
        return made

    with door.calls() as calls:
        relu.forward(array(1000), array(1000), 0.1)
        gemm.gemm(array(40, 24), array(24, 36), array(40, 36))
    return calls


def test_calls_come_in_order_with_grid_block_and_time(ran):
    first = ran[0]
    assert first.kernel.startswith("relu.") and ran[-1].kernel.startswith("gemm.")
    assert first.file == "kernels/cuda/relu.py"
    assert first.detail == "grid 4, block 256"
    assert first.signature.startswith("float32[1], float32[1]")
    assert all(call.ms > 0 for call in ran)


def test_nothing_is_written_down_outside(door, ran):
    with door.calls() as calls:
        pass
    memory = load_kernel("memory", "cuda")
    load_kernel("relu", "cuda").forward(memory.allocate(4, "cuda"), memory.allocate(4, "cuda"), 0.0)
    assert calls == []


def test_a_listing_is_the_text_that_runs_with_its_lines(door, ran):
    for call in ran:
        listing = door.listing(call)
        assert listing.missing == ""
        assert listing.first_line == call.line < listing.last_line
        assert set(listing.forms) == set(door.forms())
        form = listing.forms["ptx"]
        kernel, types, capability = call.key
        (read,) = parse(kernel.ptx(*types, cc=capability)).kernels.values()
        shown = [row for row in form.rows if row.kind != "label"]
        assert len(shown) >= len([each for each in read.instructions if each.opcode != "pragma"])
        assert {row.file for row in shown if row.line} >= {call.file}
        assert call.line - 1 <= min(row.line for row in shown if row.file == call.file)
        assert not [row.text for row in shown if not row.note]
        assert loads(Listing, dumps(listing)) == listing


def test_the_machine_code_is_the_same_without_lines(door, ran):
    if "sass" not in door.forms():
        pytest.skip("ptxas and nvdisasm are not both installed")
    call = ran[-1]
    text = call.key.kernel.ptx(*call.key.types)
    without = "\n".join(row for row in text.splitlines() if not row.strip().startswith(".loc"))
    sass = importlib.import_module("minicaffe.kernels.cuda._inspect.sass")
    with_lines, plain = (sass.form(each, (8, 0)) for each in (text, without))
    assert [row.text for row in with_lines.rows] == [row.text for row in plain.rows]
    assert any(row.line for row in with_lines.rows)


def test_what_the_assembler_refuses_is_told_in_its_words(door):
    if "sass" not in door.forms():
        pytest.skip("ptxas and nvdisasm are not both installed")
    sass = importlib.import_module("minicaffe.kernels.cuda._inspect.sass")
    form = sass.form(".version 8.0\n.target sm_80\nnonsense", (8, 0))
    assert form.rows == () and form.missing.startswith("ptxas failed: ")


def test_a_kernel_that_can_be_compiled_nowhere_here_says_why(door, ran, monkeypatch):
    module = importlib.import_module("minicaffe.kernels.cuda._compile.ptx")
    monkeypatch.setattr(module, "versions", lambda: None)
    monkeypatch.setattr(module, "shipped_at", lambda *a, **k: module.SHIPPED / "none.ptx")
    listing = door.listing(ran[0])
    assert listing.forms == {} and "cuda-emu" in listing.missing
    assert listing.kernel == ran[0].kernel
