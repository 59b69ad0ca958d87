"""The commands of `minicaffe lab`, one file each, and the table of labs that stands below them."""

from __future__ import annotations

import contextlib

from ..course import LabError, all_labs
from ..folder import find


def table() -> str:
    """The labs: title, hours, what each needs, and in a lab's folder how much of it is written."""
    here = None
    with contextlib.suppress(LabError):
        here = find()
    rows = [("lab", "hours", "points", "needs", "title")]
    for lab in all_labs():
        needs = ", ".join(lab.needs) or "-"
        title = lab.title
        if here is not None and here.lab.name == lab.name:
            counts = here.written().values()
            done, wanted = sum(done for done, _ in counts), sum(wanted for _, wanted in counts)
            title += f"  <- this folder: {done} of {wanted} functions written"
        rows.append((lab.name, f"{lab.hours:g}", str(lab.points), needs, title))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(f"{text:{width}}" for text, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    return "\n".join(["", *lines, "", "Begin with: minicaffe lab start numpy"])
