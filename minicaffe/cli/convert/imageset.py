"""A list of picture files -> a database, as Caffe's convert_imageset makes it."""

import argparse
import logging
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.database import BACKENDS, create_database
from ...data.image_list import Entry, read_image_list
from ...errors import DataError, extra
from ...proto import minicaffe_pb2 as pb
from .._commands import Parser
from .._progress import progress

log = logging.getLogger("minicaffe.convert")

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Options:
    """How pictures are stored; sizes of 0 leave them as they are."""

    gray: bool = False
    resize_height: int = 0
    resize_width: int = 0
    encoded: bool = False
    encode_type: str = ""
    check_size: bool = False

    @property
    def keeps_size(self) -> bool:
        """Whether pictures keep their size: Caffe resizes only when both extents are given."""
        return not (self.resize_height > 0 and self.resize_width > 0)


def picture_datum(file: Path, label: int, options: Options) -> pb.Datum | None:
    """The Datum of a picture file, or None for a file that is no picture."""
    cv2 = extra("cv2", "images", "convert_imageset")
    raw = _read(file)
    how = cv2.IMREAD_GRAYSCALE if options.gray else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(raw, how) if raw.size else None
    if pixels is None:
        return None
    if not options.keeps_size:
        pixels = cv2.resize(pixels, (options.resize_width, options.resize_height))
    kind = options.encode_type or (file.suffix[1:].lower() if options.encoded else "")
    if options.encoded and not kind:
        log.warning("%s: without an extension there is no telling how to encode it", file)
    if kind:
        if options.keeps_size and _same_kind(file.suffix[1:], kind):
            data = raw.tobytes()
        else:
            data = cv2.imencode(f".{kind}", pixels)[1].tobytes()
        return pb.Datum(data=data, label=label, encoded=True)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    channels, height, width = planes.shape
    return pb.Datum(
        channels=channels,
        height=height,
        width=width,
        data=planes.tobytes(),
        label=label,
        encoded=False,
    )


def convert_imageset(
    root: PathLike,
    entries: Iterable[Entry],
    database: PathLike,
    backend: str = "lmdb",
    options: Options | None = None,
) -> int:
    """Write the pictures of a list to a new database; returns how many.

    Keys are the entry's number from 0, eight digits, and the path: "00000000_cat.jpg". Files that
    are no pictures are left out and named in the log; with `check_size`, a picture of another size
    than the first is a DataError.
    """
    options = options or Options()
    entries = list(entries)
    count, size = 0, None
    with create_database(database, backend) as records:
        for number, entry in enumerate(progress(entries, len(entries))):
            datum = picture_datum(_below(root, entry.path), entry.label, options)
            if datum is None:
                log.error("Could not open or find file %s", entry.path)
                continue
            size = size or len(datum.data)
            if options.check_size and len(datum.data) != size:
                raise DataError(
                    f"{entry.path}: {len(datum.data)} bytes, the pictures before it have {size}"
                )
            key = f"{number:08d}_{entry.path}".encode("utf-8", "surrogateescape")
            records.put(key, datum.SerializeToString())
            count += 1
    return count


def _below(root: PathLike, path: str) -> Path:
    """A picture's file: `root` stands before its path as it is; a folder may lack its last '/'."""
    whole = f"{root}{path}"
    folder = not os.path.exists(whole) and os.path.isdir(root)
    return Path(f"{root}{os.sep}{path}" if folder else whole)


def _read(file: Path) -> Any:
    import numpy as np

    try:
        return np.fromfile(file, np.uint8)
    except OSError:
        return np.zeros(0, np.uint8)


def _same_kind(one: str, other: str) -> bool:
    def known(kind: str) -> str:
        return "jpg" if kind.lower() == "jpeg" else kind.lower()

    return known(one) == known(other)


def configure(parser: Parser) -> None:
    """Caffe's flags."""
    parser.add_argument("root", help="what stands before the list's paths: a folder")
    parser.add_argument("list", help="a file of lines 'PATH LABEL'")
    parser.add_argument("database", help="the folder to make")
    parser.switch("gray", "store grey pictures")
    parser.switch("shuffle", "shuffle the list first")
    parser.flag("backend", "lmdb or leveldb", default="lmdb", choices=BACKENDS)
    parser.flag("resize_width", "the width to scale to", type=int, default=0)
    parser.flag("resize_height", "the height to scale to", type=int, default=0)
    parser.switch("check_size", "refuse pictures of different sizes")
    parser.switch("encoded", "store encoded pictures instead of pixels")
    parser.flag("encode_type", "what to encode pictures as: png, jpg ...")


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was made."""
    entries = read_image_list(args.list)
    if args.shuffle:
        random.shuffle(entries)
    names = Options.__dataclass_fields__
    options = Options(**{name: getattr(args, name) for name in names})
    count = convert_imageset(args.root, entries, args.database, args.backend, options)
    print(f"{args.database}: {count} records")
