"""Each kernel becomes machine code of two kinds of GPU, by NVIDIA's assembler, without a spill.

The cases of the families are run on a backend that compiles what it is given, and runs nothing.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda import _backend
from minicaffe.kernels.cuda._backend.emulator import Emulator
from tests.kernels.cuda.case import CASES, cases_of, made, upload

KINDS = [(8, 0), (9, 0)]


def assembler() -> str | None:
    """The program ptxas, of the package that brings the compiler."""
    for place in sys.path:
        for folder in ("cuda_nvcc", "cu13", "cu12"):
            found = Path(place, "nvidia", folder, "bin", "ptxas")
            if found.exists():
                return str(found)
    return None


class Assembling(Emulator):
    """A backend that assembles kernels, and keeps what ptxas says of each."""

    def __init__(self, cc: tuple[int, int], folder: Path) -> None:
        super().__init__("emulate", 0)
        self.compute_capability = cc
        self.folder = folder
        self.said: dict[str, str] = {}

    def load(self, ptx: str, name: str) -> Any:
        """Assemble a text."""
        source = self.folder / f"{name}.{len(self.said)}.ptx"
        source.write_text(ptx)
        major, minor = self.compute_capability
        done = subprocess.run(
            [str(assembler()), "-v", f"-arch=sm_{major}{minor}", str(source), "-o", "/dev/null"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.said[source.stem] = done.stderr
        return super().load(ptx, name)

    def launch(self, *args: Any) -> None:
        """Run nothing."""


@pytest.fixture(params=KINDS, ids=lambda cc: f"sm_{cc[0]}{cc[1]}")
def assembling(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None
) -> Iterator[Assembling]:
    """The backend, in place of that of the device."""
    if assembler() is None:
        pytest.skip("there is no ptxas: pip install 'minicaffe[cuda-emu]'")
    made = Assembling(request.param, tmp_path)
    monkeypatch.setattr(_backend, "_of_card", cache(lambda card: made))
    yield made


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(path.stem for path in CASES.glob("*.py")))
def test_kernels_need_no_memory_for_registers(assembling: Assembling, family: str) -> None:
    module = load_kernel(family, "cuda")
    for case in cases_of(family):
        getattr(module, case.function)(*upload(made(case.args, module), "cuda", {}))
    for name, said in assembling.said.items():
        spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", said)
        assert set(spilled) == {"0"}, f"{name}: {said}"
        used = re.search(r"Used (\d+) registers", said)
        assert used
        print(f"{family}.{name}: {used[1]} registers")
