"""MNIST's IDX files -> a database of 28 x 28 images, as Caffe's convert_mnist_data makes it."""

import argparse
import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...data.database import BACKENDS, create_database
from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from .._commands import Parser
from .._progress import progress

IMAGES, LABELS = 0x0803, 0x0801  # magic numbers: unsigned bytes, 3 and 1 dimensions
LARGEST = 1 << 30  # bytes, unpacked
PathLike = str | os.PathLike[str]


def read_idx(path: PathLike, magic: int) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes, plain or compressed by gzip.

    Format: magic u32 (its last byte is the number of dimensions), the dimensions u32, the values;
    big endian (http://yann.lecun.com/exdb/mnist). DataError for another magic number or length.
    """
    raw = _read(Path(path))
    found = int.from_bytes(raw[:4], "big")
    if len(raw) < 4 or found != magic:
        kind = "images" if magic == IMAGES else "labels"
        raise DataError(f"{path} is no IDX file of {kind}: magic number {found}, not {magic}")
    header = 4 + 4 * (magic & 0xFF)
    shape = [int.from_bytes(raw[at : at + 4], "big") for at in range(4, header, 4)]
    if len(raw) != header + math.prod(shape):
        size = " x ".join(map(str, shape))
        raise DataError(f"{path} is cut short or too long: {len(raw) - header} values for {size}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if packed else file as stream:
                raw = stream.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise DataError(f"{path} holds more than {LARGEST >> 20} MiB")
        return raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def convert_mnist(
    images: PathLike, labels: PathLike, database: PathLike, backend: str = "lmdb"
) -> int:
    """Write the images and labels of two IDX files to a new database; returns how many.

    Keys are "00000000", "00000001", ...; values are Datums of 1 x height x width bytes and a label.
    """
    pixels, digits = read_idx(images, IMAGES), read_idx(labels, LABELS)
    if len(pixels) != len(digits):
        raise DataError(f"{images} has {len(pixels)} images, {labels} has {len(digits)} labels")
    _, height, width = pixels.shape
    datum = pb.Datum(channels=1, height=height, width=width)
    with create_database(database, backend) as records:
        for index, (image, digit) in enumerate(
            progress(zip(pixels, digits, strict=True), len(pixels))
        ):
            datum.data, datum.label = image.tobytes(), int(digit)
            records.put(b"%08d" % index, datum.SerializeToString())
    return len(pixels)


def configure(parser: Parser) -> None:
    """Two files and a database."""
    parser.add_argument("images", help="the IDX file of images, plain or .gz")
    parser.add_argument("labels", help="the IDX file of labels, plain or .gz")
    parser.add_argument("database", help="the folder to make")
    parser.flag("backend", "lmdb or leveldb", default="lmdb", choices=BACKENDS)


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was made."""
    count = convert_mnist(args.images, args.labels, args.database, args.backend)
    print(f"{args.database}: {count} records")
