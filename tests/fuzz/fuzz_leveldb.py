"""LevelDB folders for the fuzzer, each as one string of bytes: a zip of its files and links."""

import io
import os
import random
import shutil
import stat
import zipfile
from pathlib import Path

from minicaffe.data.leveldb_file import LeveldbReader, LeveldbWriter
from minicaffe.proto import minicaffe_pb2 as pb
from tests.fuzz.fuzz_mutations import bytes_changed

LINKS = ("000009.ldb", "CURRENT", "/dev/zero", "..", "nothing", "/dev/null")


def leveldb_examples(folder: Path) -> list[bytes]:
    """A folder whose records are in the log, and one whose records are in a table."""
    made = []
    for name, size in (("log", 20), ("table", 4000)):
        place = folder / f"leveldb-{name}"
        for _ in range(2 if name == "table" else 1):  # opened again, the log becomes a table
            if place.exists():
                _reopened(place)
                continue
            with LeveldbWriter(place) as writer:
                for index in range(20):
                    datum = pb.Datum(channels=1, height=1, width=size, data=bytes(size))
                    writer.put(b"%08d" % index, datum.SerializeToString())
        made.append(_packed({file.name: file.read_bytes() for file in place.iterdir()}, {}))
    return made


def _reopened(place: Path) -> None:
    import plyvel

    plyvel.DB(str(place)).close()


def _packed(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in links.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
    return buffer.getvalue()


def leveldb_changed(data: bytes, chance: random.Random) -> bytes:
    """One file's bytes changed, a file lost, or a link in its place or beside it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(name for name in files if not name.startswith("LO")))
    kind = chance.randrange(8)
    links: dict[str, str] = {}
    if kind == 0:
        del files[name]
    elif kind == 1:
        links[chance.choice((name, "000009.ldb", "000010.log"))] = chance.choice(LINKS)
        files = {there: content for there, content in files.items() if there not in links}
    elif kind == 2:
        files["CURRENT"] = chance.choice((b"", b"../x\n", b"MANIFEST-000009\n", b"CURRENT\n"))
    else:
        files[name] = bytes_changed(files[name], chance)
    return _packed(files, links)


def read_leveldb(path: str) -> None:
    """Unpack the folder, and read all of its records."""
    place = Path("leveldb")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if stat.S_ISLNK(entry.external_attr >> 16):
                os.symlink(archive.read(entry), os.fsencode(place / entry.filename))
            else:
                (place / entry.filename).write_bytes(archive.read(entry))
    with LeveldbReader(place) as reader:
        for key, _ in reader.items():
            reader.get(key)
