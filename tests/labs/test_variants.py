"""Labs that differ from course to course: what a key draws, and that each variant has an answer."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minicaffe.labs.course import LabError, load
from minicaffe.labs.gradient.tests.formulas import FORMULAS, slopes, values
from minicaffe.labs.release import handed_out, released

LAB = load("gradient")
X = np.float32([-80, -4.5, -2.5, -0.7, -0.02, 0.02, 1.1, 2.9, 4.5, 80])  # away from all kinks


def module(path: Path) -> ModuleType:
    """A file of a solution."""
    spec = importlib.util.spec_from_file_location(f"solution_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_a_key_draws_always_the_same() -> None:
    drawn = {LAB.draw(f"course {number}") for number in range(60)}
    assert len(drawn) > 6
    assert LAB.draw("a") == LAB.draw("a") in LAB.variants
    assert LAB.draw("") == LAB.variants[0]
    assert load("first").draw("a") == ""


def test_files_bear_the_name_of_what_is_drawn() -> None:
    lab = load("gradient", "HardSwish")
    files = {file.path: file.content.decode() for file in handed_out(lab)}
    assert {"layers/hard_swish.py", "kernels/reference/hard_swish.py"} < files.keys()
    assert "class HardSwishLayer(" in files["layers/hard_swish.py"]
    assert "from ..reference.hard_swish import" in files["kernels/cpu/hard_swish.py"]
    assert 'type: "HardSwish"' in files["nets/hard_swish.prototxt"]
    assert not any("VARIANT" in text or "Variant" in text for text in files.values())
    assert "HardSwishLayer.forward" in lab.task("layer").write


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(LabError, match="no variant Mush; did you mean 'Mish'"):
        load("gradient", "Mush")


def test_every_variant_has_a_formula() -> None:
    assert set(LAB.variants) == set(FORMULAS)


@pytest.mark.parametrize("variant", FORMULAS)
def test_the_answer_is_the_formula(variant: str) -> None:
    lab = load("gradient", variant)
    kernel = module(lab.reference(lab.task("kernel")))
    y, dx = np.empty_like(X), np.empty_like(X)
    kernel.forward(X, y)
    kernel.backward(X, np.full_like(X, 2), dx)
    np.testing.assert_allclose(y, values(variant, X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, 2 * slopes(variant, X), rtol=1e-3, atol=1e-5)
    assert len(released(lab, stubs=())) == 4


def test_a_name_may_have_the_variant() -> None:
    lab = load("gradient:HardSwish")
    assert (lab.variant, lab.full_name) == ("HardSwish", "gradient:HardSwish")
    assert load("first").full_name == "first"
