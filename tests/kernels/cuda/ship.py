"""Write the PTX of the product's kernels into kernels/cuda/_ptx: python -m tests.kernels.cuda.ship

It goes into the wheels, for systems for which there is no compiler of CUDA kernels (macOS): there
the emulators run these texts. They are those of all cases of all families.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda import _backend
from minicaffe.kernels.cuda._backend.emulator import Emulator
from minicaffe.kernels.cuda._compile import jit, ptx
from tests.kernels.cuda.case import CASES, cases_of, made, upload


class Idle(Emulator):
    """A backend that runs nothing."""

    def launch(self, *args: Any) -> None:
        """Run nothing."""


def ship(families: Iterable[str]) -> int:
    """Write the texts of some families; how many there are."""
    written: set[Path] = set()
    compiled, of_card = jit.ptx_of, _backend._of_card

    def keep(body: Any, types: Any, cc: Any, **options: Any) -> str:
        text = compiled(body, types, cc, **options)
        place = ptx.shipped_at(body, types, cc, **options)
        place.write_text(text, encoding="utf-8")
        written.add(place)
        return text

    idle = Idle("emulate", 0)
    jit.ptx_of, _backend._of_card = keep, cache(lambda card: idle)
    try:
        ptx.SHIPPED.mkdir(exist_ok=True)
        for family in families:
            module = load_kernel(family, "cuda")
            for case in cases_of(family):
                getattr(module, case.function)(*upload(made(case.args, module), "cuda", {}))
    finally:
        jit.ptx_of, _backend._of_card = compiled, of_card
    return len(written)


if __name__ == "__main__":
    os.environ["MINICAFFE_CUDA"] = "emulate"
    shutil.rmtree(ptx.SHIPPED, ignore_errors=True)
    count = ship(sorted(path.stem for path in CASES.glob("*.py")))
    size = sum(path.stat().st_size for path in ptx.SHIPPED.iterdir())
    print(f"{ptx.SHIPPED}: {count} kernels, {size / 1e6:.1f} MB")
