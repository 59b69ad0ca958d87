"""Compile all kernels of the CPU and keep them on the disk: minicaffe warmup

Training and testing then start at once. What is on the disk already is not compiled again. On a
cluster, run this once a machine, or once if MINICAFFE_CACHE_DIR is a folder that all of them see.
"""

import argparse
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._commands import Parser

if TYPE_CHECKING:
    from ._warm_up_jobs import Job


def configure(parser: Parser) -> None:
    """One switch."""
    parser.switch("parallel", "compile for several threads too (default true)", default=True)


def run(args: argparse.Namespace) -> None:
    """Run every layer and solver; tell what was compiled, where it lies and how long it took."""
    import logging
    import time

    from ..errors import DeviceError
    from ..machine.compiling import compiling
    from ._warm_up_jobs import cache_folder, parallel_jobs, serial_jobs

    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        raise DeviceError("NUMBA_DISABLE_JIT is set: kernels run as Python, nothing is compiled")
    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    compiling.visible = False
    started = time.perf_counter()
    _do("layers and solvers", serial_jobs())
    if args.parallel:
        _do("several threads", parallel_jobs())
    folder = cache_folder()
    seconds = time.perf_counter() - started
    print(f"compiled {compiling.count} functions, {seconds:.1f} s in all")
    print(f"kept in {folder}: {_size(folder)}")


def _do(title: str, jobs: "Iterable[Job]") -> None:
    """Run jobs and show a progress bar, which stderr shows where it is a terminal."""
    from tqdm import tqdm

    with tqdm(list(jobs), desc=title, disable=None, leave=False) as bar:
        for job in bar:
            bar.set_postfix_str(job.name)
            job.run()


def _size(folder: Any) -> str:
    sizes = [entry.stat().st_size for entry in os.scandir(folder)] if folder.is_dir() else []
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB"
