"""The door of the device `reference`: the array operations that NumPy ran for each line."""

import importlib

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.inspection.as_json import dumps, loads
from minicaffe.inspection.facts import Listing
from minicaffe.inspection.trace import Tracer
from minicaffe.layer import known_types
from tests.conftest import CHECKOUT
from tests.inspection.code.nets import calls_of_docstrings
from tests.layers.test_layer_docstrings import build

door = importlib.import_module("minicaffe.kernels.reference._inspect")


def outputs(watched: bool) -> tuple[list[np.ndarray], list]:
    """What a convolution and a product give, and the calls that were seen."""
    rng = np.random.default_rng(3)
    x, weight = rng.random((2, 3, 6, 6), np.float32), rng.random((4, 3, 3, 3), np.float32)
    y, c = np.empty((2, 4, 4, 4), np.float32), np.zeros((6, 6), np.float32)
    calls: list = []

    def run() -> None:
        family = load_kernel("convolution", "reference")
        plan = family.plan(x.shape, y.shape, (3, 3), (1, 1), (0, 0), (1, 1), 1)
        scratch = np.empty(family.scratch_size(plan), np.float32)
        family.forward(plan, x, weight, None, y, scratch)
        load_kernel("gemm", "reference").gemm(x[0, 0], x[0, 1], c, beta=1.0)

    if watched:
        with door.calls() as calls:
            run()
    else:
        run()
    return [y, c], calls


def test_what_is_watched_gives_the_same_numbers():
    for plain, watched in zip(outputs(False)[0], outputs(True)[0], strict=True):
        np.testing.assert_array_equal(plain, watched)
        assert type(watched) is np.ndarray


def test_calls_are_the_functions_that_were_called_from_outside():
    _, calls = outputs(True)
    assert [call.kernel for call in calls] == ["convolution.forward", "gemm.gemm"]
    assert calls[0].signature.startswith("x (2, 3, 6, 6) float32, weight (4, 3, 3, 3) float32, y")
    assert calls[0].file == "kernels/reference/convolution.py"
    assert all(call.ms > 0 and call.detail.endswith(" array operations") for call in calls)


def test_rows_are_operations_with_shapes_at_their_lines():
    _, calls = outputs(True)
    listing = door.listing(calls[0])
    form = listing.forms["numpy"]
    (product,) = [row for row in form.rows if row.text.startswith("matmul ")]
    assert product.text.startswith("matmul (1, 4, 27) (1, 27, 16): 2 times, ")
    assert product.text.endswith(" us")
    assert product.kind == "multiply-add" and "BLAS" in product.note
    text = (CHECKOUT / product.file).read_text().splitlines()
    assert "filters @" in text[product.line - 1]
    assert listing.first_line < product.line <= listing.last_line
    assert "kernels/reference/im2col.py" in {row.file for row in form.rows}
    assert loads(Listing, dumps(listing)) == listing


def test_the_functions_are_as_before():
    family = load_kernel("relu", "reference")
    before = dict(vars(family))
    with door.calls():
        assert family.forward is not before["forward"]
    assert vars(family) == before


@pytest.mark.parametrize("layer_type", ["Pooling", "LSTM", "Softmax", "BatchNorm", "Filter"])
def test_every_operation_of_a_layer_has_a_line(layer_type):
    assert layer_type in known_types()
    calls = calls_of_docstrings(layer_type, "reference", door)
    assert calls
    for call in calls:
        for row in door.listing(call).forms["numpy"].rows:
            assert row.file.startswith("kernels/reference/") and row.line > 0, row
            assert row.kind in ("multiply-add", "memory", "address", "other") or row.note


def test_functions_that_a_layer_took_out_of_their_module_are_watched_too():
    net = build("RNN", "reference")
    net.forward_pass()
    tracer = Tracer("reference")
    (layer,) = [each for each in net.layers if each.type == "RNN"]
    with tracer.traced(layer, "forward"):
        net.forward_pass()
    calls = [call for call in tracer.taken() if call.family == "gemm"]
    assert calls and all(len(call.kernels) == 1 for call in calls)
