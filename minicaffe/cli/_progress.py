"""How far a command is: a progress bar on a terminal, a line now and then elsewhere."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ..machine.pace import Pace

T = TypeVar("T")

log = logging.getLogger("minicaffe.cli")


def progress(items: Iterable[T], total: int) -> Iterator[T]:
    """Pass `items` on, and show how far we are of `total`."""
    if not sys.stderr.isatty():
        return _told(items, total)
    from tqdm import tqdm

    return iter(tqdm(items, total=total, unit=" records", leave=False))


def _told(items: Iterable[T], total: int) -> Iterator[T]:
    pace = Pace()
    for count, item in enumerate(items):
        if pace.due():
            log.info("%d of %d records", count, total)
            pace.said()
        yield item
