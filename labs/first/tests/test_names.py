"""repair/names.prototxt: it builds, it is the net that it was meant to be, and it runs."""

from pathlib import Path

from minicaffe.labs.first.tests.repaired import build


def test_it_is_repaired(lab_folder: Path) -> None:
    build(lab_folder, "names").forward_pass()
