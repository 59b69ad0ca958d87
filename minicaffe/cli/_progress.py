"""A progress bar on a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], total: int) -> Iterator[T]:
    """Pass `items` on; where standard error is a terminal, show how far we are of `total`."""
    if not sys.stderr.isatty():
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, total=total, unit=" records", leave=False))
