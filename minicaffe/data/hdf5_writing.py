"""HDF5 files written whole, and what a full disk does to them.

The library cannot be told in the middle that a disk is full: it fails again when it closes the
file, where nothing can be caught. So it writes through a file that remembers the first problem and
takes the rest in silence; the problem is raised when the library is done.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from ..errors import Error, extra
from ..machine.whole_file import whole_file


class _Target(io.FileIO):
    """A file for the library; `problem` is the first error of the system, None for none."""

    problem: OSError | None = None

    def write(self, content: Any, /) -> int:
        """Write all of it, where all goes well."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            while self.problem is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.problem = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size, which may be above that of what was written."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.problem = self.problem or error
            return self.tell() if size is None else size


@contextlib.contextmanager
def writing_hdf5(path: str, error: type[Error], purpose: str) -> Iterator[Any]:
    """An h5py.File to be filled, which is at `path` when the `with` block ends, or not at all.

    Raises `error` where it cannot be written; MissingExtra, with the purpose, without h5py.
    """
    h5py = extra("h5py", "hdf5", purpose)
    with whole_file(path, error) as beside, _Target(beside, "w+") as target:
        try:
            with h5py.File(target, "w") as file:
                yield file
        except Exception:
            if target.problem is None:
                raise
        if target.problem is not None:
            raise target.problem
