"""layers/<the drawn function>.py: a layer that works in any net by its type."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.labs.gradient.tests.broken import net_of
from minicaffe.labs.gradient.tests.formulas import drawn, slopes, values
from minicaffe.labs.plugin import close, gradient
from minicaffe.layer import known_types
from minicaffe.net.net import Net

TEXT = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "gaussian" std: 1 }} }} }}
layer {{ name: "y" type: "{0}" bottom: "ip" top: "y" }}
"""


def net(folder: Path, rng: np.random.Generator, rows: int = 2) -> tuple[str, Net]:
    """The drawn type behind an InnerProduct, which has run forward on so many rows."""
    name = drawn(folder)
    if name not in known_types():
        pytest.fail(f'type: "{name}" is not known: layers/ needs a file with class {name}Layer')
    made = net_of(TEXT.format(name))
    made.blob_dict["x"].reshape(rows, 3)
    made.propagate_shapes()
    made.blob_dict["x"].data[...] = rng.uniform(-1, 1, (rows, 3))
    made.forward_pass()
    return name, made


@pytest.mark.parametrize("rows", [2, 5])
def test_forward(lab_folder: Path, rng: np.random.Generator, rows: int) -> None:
    name, made = net(lab_folder, rng, rows)
    x, y = (made.blob_dict[each] for each in ("ip", "y"))
    close("y", y.data, values(name, x.data), f"{name} in a net, {rows} rows", 1e-4, 1e-6)


def test_backward(lab_folder: Path, rng: np.random.Generator) -> None:
    name, made = net(lab_folder, rng)
    x, y = (made.blob_dict[each] for each in ("ip", "y"))
    y.diff[...] = dy = rng.uniform(0.5, 1.5, y.shape).astype(np.float32)
    x.diff[...] = np.nan
    made.backward_pass()
    expected = dy * slopes(name, x.data)
    gradient("the bottom's diff", x.diff, expected, f"{name} in a net", 1e-3, 1e-4)


def test_a_gradient_that_nobody_wants_is_not_written(
    lab_folder: Path, rng: np.random.Generator
) -> None:
    name, made = net(lab_folder, rng)
    node = next(node for node in made.nodes if node.name == "y")
    node.bottoms[0].diff[...] = 7
    node.tops[0].diff[...] = 1
    node.layer.backward(node.tops, [False], node.bottoms)
    case = f"{name}: propagate_down[0] is False"
    close("the bottom's diff", node.bottoms[0].diff, np.full(node.bottoms[0].shape, 7), case)
