"""A rank that trains LeNet on MNIST: python -m tests.rdma.train RANK FOLDER SCHEME SCHEME.

Two of them, with one folder, form a ring of each scheme in turn, train over it, and leave their
weights in SCHEME.RANK.npy.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import context
from minicaffe.cli.convert.mnist import IMAGES, LABELS, read_idx
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.sync.allreduce import AllreduceSync
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from tests.ranks import SECRET

CHECKOUT = Path(__file__).resolve().parents[2]
BATCH = 4
ITERATIONS = 2


class Folder:
    """A rendezvous of two by files."""

    def __init__(self, folder: Path, name: str, rank: int) -> None:
        self._folder = folder
        self._name = name
        self._rank = rank

    def allgather(self, address: str) -> list[str]:
        """Both addresses."""
        mine = self._folder / f"{self._name}.{self._rank}.new"
        mine.write_text(address, encoding="ascii")
        paths = [self._folder / f"{self._name}.{rank}.address" for rank in range(2)]
        mine.rename(paths[self._rank])
        until = time.monotonic() + 100
        while not all(path.exists() for path in paths) and time.monotonic() < until:
            time.sleep(0.05)
        return [path.read_text(encoding="ascii") for path in paths]


def lenet() -> Any:
    """The solver of the example, whose net takes what is laid before it."""
    mnist = CHECKOUT / "examples/mnist"
    text = (mnist / "lenet_memory_train_test.prototxt").read_text(encoding="utf-8")
    net = parse_text(text, pb.NetParameter())
    layers = [layer for layer in net.layer if layer.type not in ("MemoryData", "Accuracy")]
    text = (mnist / "lenet_demo_solver.prototxt").read_text(encoding="utf-8")
    param = parse_text(text, pb.SolverParameter())
    param.ClearField("net")
    param.net_param.name = net.name
    data = param.net_param.layer.add(name="data", type="Input", top=["data", "label"])
    data.input_param.shape.add(dim=[BATCH, 1, 28, 28])
    data.input_param.shape.add(dim=[BATCH])
    param.net_param.layer.extend(layers)
    param.max_iter = ITERATIONS
    param.snapshot_after_train = False
    return create_solver(param, device="reference")


def main(rank: int, folder: Path, scheme: str) -> None:
    """Train, and leave the weights."""
    context.current().solver_rank = rank
    url, meeting = f"{scheme}://127.0.0.1:0", Folder(folder, scheme, rank)
    solver = lenet()
    images = read_idx(CHECKOUT / "examples/mnist/t10k-images-idx3-ubyte.gz", IMAGES)
    labels = read_idx(CHECKOUT / "examples/mnist/t10k-labels-idx1-ubyte.gz", LABELS)
    with connect(meeting, rank, 2, url, secret=SECRET, timeout=100) as ring:
        sync = AllreduceSync(ring)
        solver.callbacks.append(sync)
        losses = []
        for iteration in range(ITERATIONS):
            first = (2 * iteration + rank) * BATCH
            blobs = solver.net.blob_dict
            blobs["data"].data[:, 0] = images[first : first + BATCH] / np.float32(256)
            blobs["label"].data[...] = labels[first : first + BATCH]
            solver.step(1)
            losses.append(float(blobs["loss"].data))
        sync.close()
        print(rank, type(ring._base._transport).__name__, *losses, flush=True)
    np.save(folder / f"{scheme}.{rank}.npy", solver.net.flat_params.data.read("cpu"))


if __name__ == "__main__":
    for scheme in sys.argv[3:]:
        with context.fresh():
            main(int(sys.argv[1]), Path(sys.argv[2]), scheme)
