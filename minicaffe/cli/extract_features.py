"""Store blobs: minicaffe extract_features WEIGHTS NET BLOBS DATABASES BATCHES lmdb|leveldb

The net, in phase TEST, brings its own data layer. Of each blob, every item of every batch becomes a
Datum of floats in a new database, under keys 0000000000, 0000000001, ...; it keeps the item's
channels, height and width (1 where there is none), so that a net can be trained on the features.
"""

import argparse
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ._commands import Parser

if TYPE_CHECKING:
    from ..pycaffe.net import Net

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """Caffe's arguments, in its order."""
    from ..data.database import BACKENDS

    parser.add_argument("weights", help="the .caffemodel")
    parser.add_argument("net", help="the net's prototxt, with a data layer")
    parser.add_argument("blobs", help="the names of blobs, separated by ','")
    parser.add_argument("databases", help="the databases to make, one a blob, separated by ','")
    parser.add_argument("batches", type=int, help="how many batches")
    parser.add_argument("backend", choices=BACKENDS, help="lmdb or leveldb")
    parser.add_argument("mode", nargs="?", default="", help="CPU or GPU")
    parser.add_argument("card", nargs="?", default="0", help="the card's number (default 0)")
    parser.flag("device", "run on this device: cpu, reference, cuda, cuda:1 (default cpu)")
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Run the net, and write."""
    from .. import TEST
    from ..pycaffe.net import Net
    from ._net_flags import choose_device

    if args.mode not in ("", "CPU", "GPU"):
        args.error(f"'{args.mode}': CPU or GPU is expected")
    if args.batches < 1:
        args.error(f"{args.batches} batches: at least 1 is expected")
    blobs, databases = args.blobs.split(","), args.databases.split(",")
    if len(blobs) != len(databases):
        args.error(f"{len(blobs)} blobs and {len(databases)} databases: as many are expected")
    args.gpu = args.card if args.mode == "GPU" else ""
    choose_device(args)
    net = Net(args.net, TEST, weights=args.weights)
    try:
        for name, database, count in zip(
            blobs, databases, extract(net, blobs, databases, args.batches, args.backend),
            strict=True,
        ):  # fmt: skip
            log.info("Extracted features of %d query images for feature blob %s", count, name)
            print(f"{database}: {count} records")
    finally:
        net.close()


def extract(
    net: "Net",
    blobs: Sequence[str],
    databases: Sequence[str],
    batches: int,
    backend: str = "lmdb",
) -> list[int]:
    """Write the items of some blobs to new databases, batch after batch; how many there were.

    Raises NetError for a blob that is not there, DataError for a database that is.
    """
    from ..data.database import create_database
    from ..errors import NetError
    from ..proto import minicaffe_pb2 as pb
    from ._progress import progress

    for name in blobs:
        if name not in net.blobs:
            raise NetError(f"no blob '{name}' in the net (it has: {', '.join(net.blobs)})")
        if not net.blobs[name].shape:
            raise NetError(f"blob '{name}' is a scalar: it has no items")
        if len(net.blobs[name].shape) > 4:
            raise NetError(f"blob '{name}' has shape {net.blobs[name].shape}:"
                           " a Datum holds channels, height and width")  # fmt: skip
    counts = [0] * len(blobs)
    with ExitStack() as stack:
        stores = [stack.enter_context(create_database(path, backend)) for path in databases]
        for _ in progress(range(batches), batches):
            net.forward_pass()
            for index, (name, store) in enumerate(zip(blobs, stores, strict=True)):
                blob = net.blobs[name]
                for item in blob.data.reshape(blob.num, -1):
                    datum = pb.Datum(channels=blob.channels, height=blob.height, width=blob.width)
                    datum.float_data.extend(item.tolist())
                    store.put(f"{counts[index]:010d}".encode(), datum.SerializeToString())
                    counts[index] += 1
    return counts
