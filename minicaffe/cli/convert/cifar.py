"""CIFAR-10's binary batches -> databases of 3 x 32 x 32 images, as Caffe's convert_cifar_data."""

import argparse
import lzma
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...data.database import BACKENDS, create_database
from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from .._commands import Parser
from .._progress import progress

CHANNELS, SIDE = 3, 32
RECORD = 1 + CHANNELS * SIDE * SIDE  # label, then the planes of red, green and blue
TRAIN_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_BATCHES = ("test_batch.bin",)
LARGEST = 1 << 28  # bytes of a batch, unpacked; Krizhevsky's have 30 million
PathLike = str | os.PathLike[str]


def read_batch(path: PathLike) -> NDArray[np.uint8]:
    """The records of one batch file, plain or .xz: an array (count, 3073) of label and pixels."""
    path = Path(path)
    compressed = path.with_name(path.name + ".xz")
    try:
        if path.exists() or not compressed.exists():
            raw = path.read_bytes()
        else:
            with lzma.open(compressed) as stream:
                raw = stream.read(LARGEST + 1)
            if len(raw) > LARGEST:
                raise DataError(f"{compressed} holds more than {LARGEST >> 20} MiB")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{compressed} is cut short or damaged: {error}") from error
    if not raw or len(raw) % RECORD:
        raise DataError(f"{path} has {len(raw)} bytes, no multiple of a record's {RECORD}")
    return np.frombuffer(raw, np.uint8).reshape(-1, RECORD)


def convert_batches(
    files: Sequence[PathLike], database: PathLike, backend: str = "lmdb", digits: int = 5
) -> int:
    """Write batch files, one after the other, to a new database; returns how many records.

    Keys are the running number, with `digits` digits.
    """
    datum = pb.Datum(channels=CHANNELS, height=SIDE, width=SIDE)
    count = 0
    with create_database(database, backend) as records:
        for file in files:
            batch = read_batch(file)
            for row in progress(batch, len(batch)):
                datum.label, datum.data = int(row[0]), row[1:].tobytes()
                records.put(f"{count:0{digits}d}".encode(), datum.SerializeToString())
                count += 1
    return count


def convert_cifar(folder: PathLike, output: PathLike, backend: str = "lmdb") -> dict[str, int]:
    """Make cifar10_train_lmdb and cifar10_test_lmdb (or ..._leveldb) in `output`.

    `folder` holds the files of the binary version, plain or .xz. Training batches that are not
    there are left out, as long as there is one. Returns the number of records of each database.
    """
    folder, output = Path(folder), Path(output)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    parts = {}
    for part, names in (("train", TRAIN_BATCHES), ("test", TEST_BATCHES)):
        parts[part] = [folder / name for name in names if _is_there(folder / name)]
        if not parts[part]:
            raise DataError(f"{folder} holds none of {', '.join(names)}")
    paths = {part: output / f"cifar10_{part}_{backend}" for part in parts}
    return {str(paths[part]): convert_batches(parts[part], paths[part], backend) for part in parts}


def _is_there(path: Path) -> bool:
    return path.exists() or path.with_name(path.name + ".xz").exists()


def configure(parser: Parser) -> None:
    """Two folders."""
    parser.add_argument("folder", help="the folder of data_batch_1.bin ... test_batch.bin")
    parser.add_argument("output", help="the folder in which the databases are made")
    parser.flag("backend", "lmdb or leveldb", default="lmdb", choices=BACKENDS)


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was made."""
    for path, count in convert_cifar(args.folder, args.output, args.backend).items():
        print(f"{path}: {count} records")
