"""Each kernel becomes machine code of two kinds of GPU, by NVIDIA's assembler, without a spill.

It keeps within its budget of registers, and has the instructions that its family promises. The
cases of the families are run on a backend that compiles what it is given, and runs nothing.
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
from minicaffe.kernels.cuda._tiles import LARGE
from tests.kernels.cuda.case import CASES, cases_of, made, upload

KINDS = [(8, 0), (9, 0)]

# Registers of a thread: with 40, blocks of 256 threads fill three quarters of a multiprocessor,
# with 64 half of it. The tile of 128 x 128 has 64 sums a thread, and a quarter is enough.
BUDGET, BUDGETS, OF_LARGE_TILES = 40, {"convolution": 64, "gemm": 48, "inner_product": 48}, 128

FOURS = ("ld.global.v4.f32", "st.global.v4.f32")
PROMISED = {
    **{family: {"elements": FOURS} for family in ("batch_norm", "mvn", "prelu", "scale")},
    "euclidean_loss": {"terms": FOURS},
    "sigmoid_cross_entropy_loss": {"elements": FOURS},
    "split": {"split_backward": FOURS},
    "gemm": {"gemm": ("cp.async.ca", "cp.async.cg", "ld.shared.v4.f32", "st.global.v4.f32")},
    "convolution": {"convolve": ("ld.shared.v4.f32",), "depthwise_weight": ("shfl.sync",)},
    "reduction": {"channel_sums": ("shfl.sync",)},
    "softmax": {"_rows_backward": ("shfl.sync",)},
}
TENSOR = ("mma.sync.aligned.m16n8k8", "cvt.rna.tf32.f32")
WITHOUT_F64 = (
    "gemm",
    "convolution",
    "relu",
    "activation",
    "pooling",
    "lrn",
    "update",
    "batch_norm",
)


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
        self.texts: dict[str, list[str]] = {}

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
        self.texts.setdefault(name, []).append(ptx)
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
def test_a_family_as_machine_code(assembling: Assembling, family: str) -> None:
    module = load_kernel(family, "cuda")
    for case in cases_of(family):
        getattr(module, case.function)(*upload(made(case.args, module), "cuda", {}))
    keeps_within(assembling, family, BUDGETS.get(family, BUDGET))
    for name, promised in PROMISED.get(family, {}).items():
        found = "".join(assembling.texts[name])
        assert [each for each in promised if each not in found] == [], name
    if family in WITHOUT_F64:
        for name, texts in assembling.texts.items():
            assert not any(re.search(r"\b(add|mul|fma|div)\S*\.f64", text) for text in texts), name


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_large_tiles_as_machine_code(assembling: Assembling, precision: str) -> None:
    memory = load_kernel("memory", "cuda")
    a, b, c = (memory.allocate(128 * 128, "cuda").reshape(128, 128) for _ in "ABC")
    tile = LARGE._replace(tensor=precision == "tf32")
    for ways in ((False, False), (False, True), (True, False)):
        load_kernel("gemm", "cuda").launch(a, b, c, *ways, 1.0, 0.0, 128, tile)
    keeps_within(assembling, f"gemm, {precision}", OF_LARGE_TILES)
    for text in assembling.texts["gemm"]:
        assert [each for each in TENSOR if each in text] == list(TENSOR if tile.tensor else ())


def keeps_within(assembling: Assembling, what: str, budget: int) -> None:
    """No kernel spills, or has more registers than that."""
    for name, said in assembling.said.items():
        spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", said)
        assert set(spilled) == {"0"}, f"{name}: {said}"
        used = re.search(r"Used (\d+) registers", said)
        assert used
        print(f"{what}.{name}: {used[1]} registers")
        assert int(used[1]) <= budget, f"{what}: {name} has {used[1]} registers"
