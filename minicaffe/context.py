"""What Caffe keeps in its thread-local singleton: the random stream, the rank, the default device.

Each thread has a context of its own, so that several ranks can live in one process (tests do it).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .random_stream.generator import Generator

PRECISIONS = ("float32", "tf32")


class Context:
    """State of a thread: `rng`, `solver_rank`, `solver_count`, `device`, `precision`, `data_seed`,
    `data_threads`.

    Each rank has random numbers of its own, but all shuffle the same samples: `data_seed` is equal
    on all of them (None: a lone rank draws one from `rng`). The precision is float32, or tf32: what
    a GPU's tensor cores multiply with in products of matrices and convolutions. Pictures are
    decoded by as many threads as kernels run on, and by `data_threads` at least.
    """

    def __init__(self) -> None:
        self.rng = Generator()
        self.solver_rank = 0
        self.solver_count = 1
        self.data_seed: int | None = None
        self.data_threads = 1
        self.device = "cpu"
        self.precision = "float32"

    @property
    def root_solver(self) -> bool:
        """Whether this thread's solver is the one that tests, displays and snapshots."""
        return self.solver_rank == 0


_local = threading.local()


def current() -> Context:
    """The context of the calling thread, made on first use."""
    if not hasattr(_local, "context"):
        _local.context = Context()
    context: Context = _local.context
    return context


@contextmanager
def fresh(device: str | None = None, precision: str = "float32") -> Iterator[Context]:
    """A new context for the length of a `with` block; the former one comes back after it."""
    former = current()
    _local.context = Context()
    _local.context.device = device or former.device
    _local.context.precision = precision
    try:
        yield _local.context
    finally:
        _local.context = former


def set_random_seed(seed: int) -> None:
    """Seed this thread's random stream as `Caffe::set_random_seed` does (same bits)."""
    current().rng = Generator(seed)
