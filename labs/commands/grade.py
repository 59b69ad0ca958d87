"""Grade submissions: minicaffe lab grade SUBMISSION ... [-seed S] [-tests DIR] [-json FILE]

A submission is a folder or a zip; only the files that the lab names are taken out of it. Public
tests, the product's own (in a checkout) and the staff's of -tests are run. Keep seed and DIR
secret.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

FORMATS = ("table", "gradescope", "classroom")


def configure(parser: Any) -> None:
    """What, with which tests, and where the results go."""
    parser.add_argument("submissions", metavar="SUBMISSION", nargs="+", help="a folder or a zip")
    parser.flag("lab", "NAME or NAME:VARIANT, not that of a submission's .lab.json", metavar="NAME")
    parser.flag("seed", "of the random cases (default 0)", type=int, default=0)
    parser.flag("tests", "the staff's: test_TASK.py, test_TASK_*.py", metavar="DIR")
    parser.flag("product", "tests/ and pyproject.toml (default: the checkout)", metavar="DIR")
    parser.flag("json", "where to write the results", metavar="FILE")
    parser.flag("csv", "where to write a line a student", metavar="FILE")
    parser.flag(
        "format", "table, gradescope (results.json), or classroom (status 1 unless all is right)",
        choices=FORMATS, default="table",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Grade one after the other; a submission that cannot be read is told and does not stop."""
    import json
    import sys

    from ..course import LabError
    from ..marks import as_csv, as_gradescope, as_json, grade
    from ..verify import checkout

    if args.format == "gradescope" and (len(args.submissions) != 1 or not args.json):
        raise LabError("-format gradescope takes one submission, and -json FILE for the results")
    product = Path(args.product).absolute() if args.product else checkout()
    if product is None or not (product / "pyproject.toml").is_file():
        if args.product:
            raise LabError(f"-product {product}: there is no pyproject.toml")
        print("the product's own tests are not run: they are in a checkout only (-product DIR)")
    staff = Path(args.tests).absolute() if args.tests else None
    marks, unread = [], 0
    for name in args.submissions:
        try:
            mark = grade(Path(name).absolute(), args.lab, args.seed, product, staff)
        except LabError as error:
            print(f"minicaffe: {name}: {error}", file=sys.stderr)
            unread += 1
            continue
        marks.append(mark)
        print(f"{mark.student}: lab {mark.lab.name}, {mark.points:g} of {mark.lab.points} points")
        for each in mark.tasks:
            groups = ", ".join(
                f"{group} {result.passed}/{result.total}" for group, result in each.groups.items()
            )
            points = f"{each.points:g}/{each.task.points}"
            print(f"  {each.task.name:14}  {points:8}  {groups:32}  {each.sentence}", flush=True)
    if args.json and marks:
        found = as_gradescope(marks[0]) if args.format == "gradescope" else as_json(marks)
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.csv:
        Path(args.csv).write_text(as_csv(marks), encoding="utf-8")
    failed = args.format == "classroom" and not all(mark.right for mark in marks)
    return 1 if unread or failed else 0
