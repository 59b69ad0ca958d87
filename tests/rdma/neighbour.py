"""A rank as a process of its own: python -m tests.rdma.neighbour ADDRESS_FILE.

It is rank 1 of 2. Its address goes into the file, rank 0's comes as a line on the standard input;
then it adds up arrays until it ends, or is ended.
"""

import sys
from pathlib import Path

import numpy as np

from minicaffe.distributed.rendezvous import connect
from tests.ranks import SECRET

COUNT = 200_000


class Files:
    """A rendezvous of two by a file and a line."""

    def allgather(self, address: str) -> list[str]:
        """Both addresses."""
        Path(sys.argv[1]).write_text(address, encoding="ascii")
        return [sys.stdin.readline().strip(), address]


def main() -> None:
    """Allreduces without end."""
    url = "rdma://127.0.0.1:0"
    with connect(Files(), 1, 2, url, secret=SECRET, timeout=60, doubling_bytes=0) as ring:
        while True:
            ring.allreduce(np.ones(COUNT, np.float32))


if __name__ == "__main__":
    main()
