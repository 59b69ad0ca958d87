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
from tests.kernels.cuda.case import CASES, cases_of, upload


class Idle(Emulator):
    """A backend that runs nothing."""

    def launch(self, *args: Any) -> None:
        """Run nothing."""


def ship(families: Iterable[str]) -> int:
    """Write the texts of some families; how many there are."""
    made: set[Path] = set()
    compiled, of_card = jit.ptx_of, _backend._of_card

    def keep(body: Any, types: Any, cc: Any, **options: Any) -> str:
        text = compiled(body, types, cc, **options)
        made.add(ptx.shipped_at(body, types, cc, **options))
        ptx.shipped_at(body, types, cc, **options).write_text(text, encoding="utf-8")
        return text

    idle = Idle("emulate", 0)
    jit.ptx_of, _backend._of_card = keep, cache(lambda card: idle)
    try:
        ptx.SHIPPED.mkdir(exist_ok=True)
        for family in families:
            for case in cases_of(family):
                getattr(load_kernel(family, "cuda"), case.function)(*upload(case.args, "cuda", {}))
    finally:
        jit.ptx_of, _backend._of_card = compiled, of_card
    return len(made)


if __name__ == "__main__":
    os.environ["MINICAFFE_CUDA"] = "emulate"
    shutil.rmtree(ptx.SHIPPED, ignore_errors=True)
    count = ship(sorted(path.stem for path in CASES.glob("*.py")))
    size = sum(path.stat().st_size for path in ptx.SHIPPED.iterdir())
    print(f"{ptx.SHIPPED}: {count} kernels, {size / 1e6:.1f} MB")
