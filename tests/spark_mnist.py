"""MNIST for tests of Spark: a part of it as LMDBs, and LeNet on them, by the shipped prototxts."""

import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.cli.convert.mnist import IMAGES, LABELS, read_idx
from minicaffe.data.database import create_database
from minicaffe.proto import minicaffe_pb2 as pb
from tests.conftest import CHECKOUT

SHIPPED = CHECKOUT / "examples" / "mnist"
SETS = {"train": "train", "test": "t10k"}


@cache
def pictures(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The pictures (count, 28, 28) and labels (count) of "train" or "test"."""
    images = read_idx(SHIPPED / f"{SETS[name]}-images-idx3-ubyte.gz", IMAGES)
    return images, read_idx(SHIPPED / f"{SETS[name]}-labels-idx1-ubyte.gz", LABELS)


def write_lmdbs(folder: Path, train: int = 3200, test: int = 300) -> None:
    """The first pictures of both sets, as LMDBs `train` and `test` of a folder."""
    for name, count in (("train", train), ("test", test)):
        images, labels = pictures(name)
        with create_database(folder / name) as out:
            for index in range(count):
                datum = pb.Datum(channels=1, height=28, width=28, label=int(labels[index]))
                datum.data = images[index].tobytes()
                out.put(f"{index:08d}".encode(), datum.SerializeToString())


def write_lenet(folder: Path, more: str = "", **settings: str | int) -> Path:
    """LeNet and its solver, as shipped but for paths and these settings; the solver's path."""
    net = (SHIPPED / "lenet_memory_train_test.prototxt").read_text()
    net = re.sub(r"file:examples/mnist/mnist_(\w+)_lmdb", rf"file:{folder}/\1", net)
    (folder / "lenet_train_test.prototxt").write_text(net)
    text = (SHIPPED / "lenet_memory_solver.prototxt").read_text()
    settings = {"net": f'"{folder}/lenet_train_test.prototxt"', "snapshot": 0} | settings
    for name, value in settings.items():
        text, count = re.subn(rf"^{name}: \S+", f"{name}: {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    path = folder / "lenet_solver.prototxt"
    path.write_text(f"{text}\nrandom_seed: 5 {more}\n")
    return path
