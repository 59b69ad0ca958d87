"""Make the texts of texts/ anew: python -m tests.ptx.compile_texts (needs minicaffe[cuda-emu])."""

from pathlib import Path

from tests.ptx.faulty import FAULTS
from tests.ptx.suite import CASES

TEXTS = Path(__file__).parent / "texts"


def main() -> None:
    """Write a text for each kernel of `faulty`, wrong and right, and of `suite`."""
    TEXTS.mkdir(exist_ok=True)
    for name, fault in FAULTS.items():
        for right in (False, True):
            text = fault.make(right).ptx(*fault.types)
            path = TEXTS / f"{name}{'_mended' if right else ''}.ptx"
            path.write_text(text, encoding="utf-8")
    for name, case in CASES.items():
        text = case.kernel.ptx(*case.types)
        (TEXTS / f"{name}.ptx").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
