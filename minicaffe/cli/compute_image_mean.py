"""The mean image of a database: minicaffe compute_image_mean DB [OUT.binaryproto]"""

import argparse
import logging
from typing import TYPE_CHECKING

from ._commands import Parser

if TYPE_CHECKING:
    from ..proto import minicaffe_pb2 as pb

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """A database and a file."""
    parser.add_argument("database", help="the folder of the LMDB or LevelDB")
    parser.add_argument("output", nargs="?", help="the .binaryproto to write")
    parser.flag("backend", "lmdb or leveldb", default="lmdb", choices=("lmdb", "leveldb"))


def run(args: argparse.Namespace) -> None:
    """Compute, write, and log the means of the channels."""
    from ..proto.files import write_binary

    mean = mean_image(args.database, args.backend)
    if args.output:
        write_binary(args.output, mean)
        log.info("Write to %s", args.output)
    log.info("Number of channels: %d", mean.channels)
    size = mean.height * mean.width
    for channel in range(mean.channels):
        values = mean.data[channel * size : (channel + 1) * size]
        log.info("mean_value channel [%d]: %g", channel, sum(values) / size)


def mean_image(database: str, backend: str = "lmdb") -> "pb.BlobProto":
    """The mean of a database's pictures, pixel by pixel, in the legacy form of BlobProto.

    Sums are float32, as Caffe's are. Raises DataError for pictures of different shapes.
    """
    import numpy as np

    from ..data.database import open_database, parse_datum
    from ..data.datum import picture_of
    from ..errors import DataError
    from ..proto import minicaffe_pb2 as pb
    from ._progress import progress

    total: np.ndarray | None = None
    count = 0
    with open_database(database, backend) as records:
        for key, value in progress(records.items(), len(records)):
            picture = picture_of(parse_datum(value, key, database))
            if total is None:
                total = np.zeros(picture.shape, np.float32)
            if picture.shape != total.shape:
                raise DataError(
                    f"the picture of key {key!r} in {database} has shape {picture.shape},"
                    f" those before it {total.shape}"
                )
            total += picture
            count += 1
    if total is None:
        raise DataError(f"{database} holds no records")
    channels, height, width = total.shape
    mean = pb.BlobProto(num=1, channels=channels, height=height, width=width)
    mean.data.extend((total / np.float32(count)).ravel().tolist())
    return mean
