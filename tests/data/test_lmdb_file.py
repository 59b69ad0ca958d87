"""The LMDB reader agrees with the C library, leaves files alone, and names what is wrong."""

import os
import random
import shutil
from pathlib import Path

import lmdb
import pytest

from minicaffe.data.database import create_database, open_database, parse_datum
from minicaffe.data.leveldb_file import LeveldbReader, LeveldbWriter
from minicaffe.data.lmdb_file import LmdbReader
from minicaffe.data.lmdb_writer import LmdbWriter
from minicaffe.errors import DataError
from minicaffe.proto import minicaffe_pb2 as pb

Records = dict[bytes, bytes]


def numbered(count: int, size: int) -> Records:
    return {b"%08d" % i: random.Random(i).randbytes(size) for i in range(count)}


def mixed() -> Records:
    """Keys and values of all sizes: empty, in the leaf, and on overflow pages."""
    chance = random.Random(7)
    sizes = [0, 1, 100, 1500, 2030, 2031, 2040, 4080, 4096, 5000, 70000]
    return {
        chance.randbytes(chance.randint(1, 200)): chance.randbytes(chance.choice(sizes))
        for _ in range(400)
    }


SETS = {
    "none": {},
    "one": {b"k": b"v"},
    "one leaf": numbered(3, 10),
    "digits": numbered(2500, 796),
    "large": numbered(30, 12345),
    "mixed": mixed(),
    "deep": numbered(20000, 3),
}


def by_library(path: Path, records: Records, commits: int = 3) -> None:
    """Write records with the C library, unsorted, in several transactions."""
    environment = lmdb.open(str(path), map_size=1 << 28, sync=False)
    items = list(records.items())
    random.Random(1).shuffle(items)
    for part in range(commits):
        with environment.begin(write=True) as transaction:
            for key, value in items[part::commits]:
                transaction.put(key, value)
    environment.close()


@pytest.fixture(scope="module", params=SETS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Records]:
    path = tmp_path_factory.mktemp("lmdb") / "db"
    by_library(path, SETS[request.param])
    return path, SETS[request.param]


def test_reads_what_the_library_wrote(written: tuple[Path, Records]) -> None:
    path, records = written
    with LmdbReader(path) as reader:
        assert len(reader) == len(records)
        assert list(reader) == sorted(records.items())
        assert list(reader.keys()) == sorted(records)
        assert [reader.value(record) for record in reader.records()] == [
            records[key] for key in sorted(records)
        ]


def test_starts_at_any_key(written: tuple[Path, Records]) -> None:
    path, records = written
    keys = sorted(records)
    with LmdbReader(path) as reader:
        for first in [b"\x00", b"\xff" * 9, *keys[:: max(1, len(keys) // 20)]]:
            for start in (first, first + b"\x00"):
                wanted = [key for key in keys if key >= start]
                found = reader.items(start)
                assert [key for _, (key, _) in zip(range(50), found, strict=False)] == wanted[:50]


def test_gets_by_key(written: tuple[Path, Records]) -> None:
    path, records = written
    with LmdbReader(path) as reader:
        for key in list(records)[:40]:
            assert reader.get(key) == records[key]
        with pytest.raises(DataError, match="has no key b'nothing'"):
            reader.get(b"nothing")


def test_leaves_the_folder_alone_and_opens_twice(tmp_path: Path) -> None:
    by_library(tmp_path / "db", SETS["one leaf"])
    (tmp_path / "db" / "lock.mdb").unlink()
    before = {entry.name: entry.stat().st_mtime_ns for entry in (tmp_path / "db").iterdir()}
    os.chmod(tmp_path / "db", 0o555)
    try:
        with LmdbReader(tmp_path / "db") as one, LmdbReader(tmp_path / "db" / "data.mdb") as two:
            assert list(one) == list(two)
    finally:
        os.chmod(tmp_path / "db", 0o755)
    assert {entry.name: entry.stat().st_mtime_ns for entry in (tmp_path / "db").iterdir()} == before


@pytest.mark.parametrize("name", ["digits", "mixed", "deep", "large", "none"])
def test_library_reads_what_we_wrote(tmp_path: Path, name: str) -> None:
    with LmdbWriter(tmp_path / "db") as writer:
        for key, value in SETS[name].items():
            writer.put(key, value)
    with lmdb.open(str(tmp_path / "db"), readonly=True) as environment, environment.begin() as view:
        assert dict(view.cursor()) == SETS[name]
    assert sorted(entry.name for entry in (tmp_path / "db").iterdir()) == ["data.mdb", "lock.mdb"]


def test_the_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LmdbWriter, "FIRST_MAP_SIZE", 1 << 16)
    records = numbered(1500, 3000)
    with LmdbWriter(tmp_path / "db") as writer:
        for key, value in records.items():
            writer.put(key, value)
    with LmdbReader(tmp_path / "db") as reader:
        assert dict(reader.items()) == records


def test_databases_of_the_real_caffe(goldens: Path) -> None:
    found = sorted((goldens / "files").glob("db_lmdb*"))
    assert found
    for path in found:
        with LmdbReader(path) as reader:
            keys = list(reader.keys())
            assert len(keys) == 10
            assert keys[0].startswith(b"00000000_")
            for key, value in reader:
                assert parse_datum(value, key, path).label >= 0


# --- what is wrong is said ----------------------------------------------------------------------


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no LMDB at .*nowhere: there is nothing of that name"):
        LmdbReader(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"the folder has no data\.mdb"):
        LmdbReader(tmp_path)
    (tmp_path / "CURRENT").write_text("MANIFEST-000001\n")
    with pytest.raises(DataError, match="looks like a LevelDB"):
        LmdbReader(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", "is not an LMDB file"),
        (bytes(8192), "is not an LMDB file"),
        (b"\xde\xc0\xef\xbe" * 4096, "is of a 32-bit program"),
    ],
)
def test_what_is_no_lmdb(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=says):
        LmdbReader(tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    by_library(tmp_path / "db", SETS["one leaf"])
    whole = (tmp_path / "db" / "data.mdb").read_bytes()
    cut = tmp_path / "cut.mdb"
    for length in [*range(1, len(whole), 1111), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is cut short|is not an LMDB"):
            LmdbReader(cut)


def test_a_file_cut_while_it_is_read_names_the_place(tmp_path: Path) -> None:
    by_library(tmp_path / "db", SETS["large"])
    with LmdbReader(tmp_path / "db") as reader:
        records = list(reader.records())
        os.truncate(tmp_path / "db" / "data.mdb", records[-1].offset + 5)
        with pytest.raises(DataError, match="cut short at the value of key b'00000029'"):
            reader.value(records[-1])


def test_overwritten_pages_raise_data_errors_or_read_on(tmp_path: Path) -> None:
    by_library(tmp_path / "db", {**numbered(300, 40), **SETS["one"]})
    whole = bytearray((tmp_path / "db" / "data.mdb").read_bytes())
    chance = random.Random(3)
    damaged = tmp_path / "damaged.mdb"
    refused = 0
    for _ in range(400):
        bad = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(bad))
            bad[at : at + 4] = chance.randbytes(4)
        damaged.write_bytes(bad[: len(whole)])
        try:
            with LmdbReader(damaged) as reader:
                assert sum(1 for _ in reader) <= len(reader)
        except DataError as error:
            assert str(damaged) in str(error)
            refused += 1
    assert refused


META = {"entries": 120, "root": 128, "transaction": 144}  # places in pages 0 and 1


def test_records_that_the_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    by_library(tmp_path / "db", SETS["one leaf"])
    path = tmp_path / "db" / "data.mdb"
    whole = bytearray(path.read_bytes())
    for page in (0, 4096):
        whole[page + META["entries"] : page + META["entries"] + 8] = (2**63).to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(DataError, match="is damaged: 9223372036854775808 records do not fit"):
        LmdbReader(path)


def test_a_tree_whose_branches_meet_ends(tmp_path: Path) -> None:
    """All of the root's children are one page, and all of its children one leaf without nodes."""
    with LmdbWriter(tmp_path / "db") as writer:  # in order: all branches but the last are full
        for key, value in SETS["digits"].items():
            writer.put(key, value)
    path = tmp_path / "db" / "data.mdb"
    whole = bytearray(path.read_bytes())

    def number(at: int, size: int) -> int:
        return int.from_bytes(whole[at : at + size], "little")

    def merge(page: int) -> int:
        """Give all nodes of a branch page its first child, whose number is returned."""
        count = (number(4096 * page + 12, 2) - 16) // 2
        nodes = [4096 * page + number(4096 * page + 16 + 2 * i, 2) for i in range(count)]
        for at in nodes[1:]:
            whole[at : at + 6] = whole[nodes[0] : nodes[0] + 6]
        return number(nodes[0], 6)

    newest = max((0, 4096), key=lambda page: number(page + META["transaction"], 8))
    leaf = merge(merge(number(newest + META["root"], 8)))
    whole[4096 * leaf + 12 : 4096 * leaf + 14] = (16).to_bytes(2, "little")
    path.write_bytes(whole)
    with (
        LmdbReader(path) as reader,
        pytest.raises(DataError, match="its tree has more pages than the file"),
    ):
        list(reader.records())


def test_databases_inside_a_database_are_refused(tmp_path: Path) -> None:
    environment = lmdb.open(str(tmp_path / "db"), max_dbs=1)
    named = environment.open_db(b"inner")
    with environment.begin(write=True) as transaction:
        transaction.put(b"k", b"v", db=named)
    environment.close()
    with (
        LmdbReader(tmp_path / "db") as reader,
        pytest.raises(DataError, match="holds a database named b'inner'"),
    ):
        list(reader)


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_new_database_needs_a_new_name(tmp_path: Path, backend: str) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "precious").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        create_database(tmp_path / "db", backend)
    assert (tmp_path / "db" / "precious").read_text() == "mine"


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_half_written_database_is_removed(tmp_path: Path, backend: str, error: type) -> None:
    with pytest.raises(error), create_database(tmp_path / "db", backend) as writer:
        for key, value in numbered(1200, 10).items():
            writer.put(key, value)
        raise error("half way")
    assert not (tmp_path / "db").exists()


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="key b'a' comes twice"),
        LmdbWriter(tmp_path / "db") as writer,
    ):
        for key in (b"a", b"b", b"a"):
            writer.put(key, b"")
    assert not (tmp_path / "db").exists()


def test_unknown_backends(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no database backend 'rocks' \(there are: lmdb, leveldb\)"
    ):
        open_database(tmp_path, "rocks")


# --- LevelDB ------------------------------------------------------------------------------------


def test_leveldb_of_the_real_caffe_stays_as_it_is(goldens: Path, tmp_path: Path) -> None:
    shutil.copytree(goldens / "files" / "db_leveldb", tmp_path / "db")
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "db").iterdir()}
    with LeveldbReader(tmp_path / "db") as one, LeveldbReader(tmp_path / "db") as two:
        assert len(one) == 10
        assert list(one) == list(two)
        key, value = next(iter(one))
        assert one.get(key) == value
        assert parse_datum(value, key, "db").channels == 3
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "db").iterdir()} == before


def test_leveldb_there_and_back(tmp_path: Path) -> None:
    records = numbered(2300, 50)
    with LeveldbWriter(tmp_path / "db") as writer:
        for key, value in records.items():
            writer.put(key, value)
    with LeveldbReader(tmp_path / "db") as reader:
        assert len(reader) == 2300
        assert dict(reader.items()) == records
        assert list(reader.keys()) == sorted(records)
        assert next(iter(reader.items(b"00002000")))[0] == b"00002000"
        with pytest.raises(DataError, match="has no key"):
            reader.get(b"x")


def test_leveldb_that_is_none_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        LeveldbReader(tmp_path / "nowhere")
    (tmp_path / "data.mdb").write_bytes(b"")
    with pytest.raises(DataError, match="looks like an LMDB"):
        LeveldbReader(tmp_path)
    with LeveldbWriter(tmp_path / "db") as writer:
        writer.put(b"k", b"v" * 1000)
    manifest = next((tmp_path / "db").glob("MANIFEST-*"))
    manifest.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="cannot read LevelDB"):
        LeveldbReader(tmp_path / "db")


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"\xff\xff\xff", "is no Datum"),
        (pb.Datum(channels=1, height=2, width=2, data=b"abc").SerializeToString(), "of 3 values"),
    ],
)
def test_a_record_that_is_no_datum_is_named(value: bytes, says: str) -> None:
    with pytest.raises(DataError, match=rf"the record of key b'00000012' in some/db.*{says}"):
        parse_datum(value, b"00000012", "some/db")
