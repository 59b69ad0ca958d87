"""reference, cpu and cuda have the same families, with the same functions and arguments."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from minicaffe.device import known_families
from tests.kernels.cuda.case import CASES, cases_of

# Of cpu alone: chains of layers in one pass, and the pass of one image recorded.
OF_CPU = {"batch_norm_scale_relu", "eltwise_relu", "recording"}
# Functions that compute nothing on the device.
OF_THE_HOST = {"plan", "scratch_size", "ways", "reasons"}
NO_KERNELS = {"memory", "random"}  # files that a device has besides its families


def functions(device: str, family: str) -> dict[str, list[str]]:
    """The functions that a family has for layers, and the names of their arguments."""
    module = importlib.import_module(f"minicaffe.kernels.{device}.{family}")
    return {name: list(inspect.signature(value).parameters) for name, value in own(module)}


def own(module: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        is_own = getattr(value, "__module__", "").startswith(module.__name__)
        is_own |= name in getattr(module, "__all__", ())  # what host devices share
        if name[0] != "_" and inspect.isfunction(value) and is_own:
            yield name, value


def test_every_device_has_the_families_of_reference() -> None:
    reference = known_families("reference")
    assert known_families("cpu") - OF_CPU == reference
    assert known_families("cuda") - NO_KERNELS == reference


@pytest.mark.parametrize("family", sorted(known_families("cuda") - NO_KERNELS))
def test_a_family_has_the_functions_of_reference(family: str) -> None:
    assert functions("reference", family).items() <= functions("cuda", family).items()


@pytest.mark.parametrize("family", sorted(known_families("cuda") - NO_KERNELS))
def test_a_family_has_cases(family: str) -> None:
    wanted = set(functions("reference", family)) - OF_THE_HOST
    assert {case.function for case in cases_of(family)} == wanted


def test_cases_are_those_of_families() -> None:
    assert {path.stem for path in CASES.glob("*.py")} <= known_families("cuda")
