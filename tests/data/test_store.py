"""Stores: rows by number from row groups, of which a window is in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.data.store import Index, Store, find_index, index_of
from minicaffe.errors import DataError
from minicaffe.machine.file_system import upload
from tests.far_files import object_store

pyarrow = pytest.importorskip("pyarrow")


def write(folder: Path, sizes: list[int], rows: int, **columns: Any) -> None:
    """Parquet files with so many rows each, `rows` a group; by default an id and a label."""
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(sum(sizes))
    data: dict[str, Any] = {"id": [f"{i:04d}" for i in numbers], "label": [i % 3 for i in numbers]}
    data |= {name: [make(i) for i in numbers] for name, make in columns.items()}
    table = pyarrow.table(data)
    for number, size in enumerate(sizes):
        part = table.slice(sum(sizes[:number]), size)
        path = folder / f"part-{number:05d}.parquet"
        parquet.write_table(part, path, row_group_size=rows, use_dictionary=False)


def store(folder: Path, window: int = 1 << 20, columns: list[str] | None = None) -> Store:
    """The store of the Parquet files in a folder: an index is written for them."""
    names = sorted(path.name for path in folder.glob("*.parquet"))
    index = index_of(str(folder), names, "digest", "id", window)
    (folder / "index.json").write_text(index.to_json())
    return Store(str(folder), columns)


def test_rows_are_read_by_their_number(tmp_path: Path) -> None:
    write(tmp_path, [5, 0, 9], 4, data=lambda i: bytes([i] * 3), v=lambda i: [i, 0.5])
    rows = store(tmp_path)
    assert len(rows) == 14
    assert rows.groups.rows == (4, 1, 0, 4, 4, 1)
    for index in (0, 13, 4, 5, 9):
        row = rows.read(index)
        assert (row["id"], row["label"]) == (f"{index:04d}", index % 3)
        assert row["data"] == bytes([index] * 3)
        np.testing.assert_array_equal(row["v"], [index, 0.5])
        assert rows.id(row, index) == f"{index:04d}"


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    write(tmp_path, [3], 2)
    assert store(tmp_path, columns=["label"]).read(1) == {"label": 1}
    with pytest.raises(DataError, match=r"has no column 'data' \(it has: id, label\)"):
        Store(str(tmp_path), ["data"])


def test_rows_without_an_id_are_called_by_their_number(tmp_path: Path) -> None:
    write(tmp_path, [3], 2)
    rows = store(tmp_path)
    assert rows.id({"id": None}, 2) == "00000002"
    assert rows.id({}, 1) == "00000001"
    assert rows.id({"id": 12}, 1) == "12"


def test_values_may_be_missing_and_are_counted(tmp_path: Path) -> None:
    write(tmp_path, [6], 4, data=lambda i: None if i % 2 else b"x", v=lambda i: None if i else 1.5)
    rows = store(tmp_path)
    assert rows.index.nulls == {"data": 3, "v": 5}
    assert rows.read(1)["data"] is None
    assert [rows.read(i)["v"] for i in (0, 2)] == [1.5, None]


def test_a_window_of_row_groups_is_in_memory(tmp_path: Path) -> None:
    write(tmp_path, [128], 4, data=lambda i: bytes(4900))
    rows = store(tmp_path, window=100_000)
    loads = []
    load = rows._load
    rows._load = lambda *group: loads.append(group) or load(*group)  # type: ignore[method-assign]
    for index in range(128):
        rows.read(index)
        assert sum(table.nbytes for table in rows._held.values()) <= 100_000
    assert len(loads) == 32
    rows.read(124)
    rows.read(115)
    assert len(loads) == 32  # they are held
    rows.read(0)
    assert len(loads) == 33


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, [5, 0, 9], 4)
    index = store(tmp_path).index
    assert Index.from_json(index.to_json()) == index
    assert find_index(str(tmp_path)) == index
    assert find_index(str(tmp_path / "nothing")) is None


def test_a_parquet_folder_is_read_without_index(tmp_path: Path) -> None:
    write(tmp_path / "set" / "below", [3, 2], 2)
    (tmp_path / "set" / "_SUCCESS").touch()
    (tmp_path / "set" / ".part-1.crc").touch()
    rows = Store.of_parquet(f"file:{tmp_path}/set")
    assert [rows.read(i)["label"] for i in range(len(rows))] == [0, 1, 2, 0, 1]
    one = Store.of_parquet(str(tmp_path / "set" / "below" / "part-00001.parquet"))
    assert [one.read(i)["id"] for i in range(len(one))] == ["0003", "0004"]


def spoil_index(folder: Path) -> None:
    (folder / "index.json").write_text('{"format": 1}')


def of_tomorrow(folder: Path) -> None:
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace('"format": 1', '"format": 2'))


def cut_file(folder: Path) -> None:
    path = folder / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (
            lambda folder: (folder / "index.json").unlink(),
            "there is no store here, or none",
        ),
        (spoil_index, "index.json is not the index of a store"),
        (of_tomorrow, "format 2, and 1 can be read"),
        (cut_file, "cannot read .*part-00000.parquet as Parquet"),
        (lambda folder: (folder / "part-00000.parquet").unlink(), "No such file or directory"),
        (lambda folder: write(folder, [3], 3), "part-00000.parquet has changed: its rows"),
        (lambda folder: write(folder, [2], 2), "part-00000.parquet has changed: it has no row"),
    ],
)
def test_what_is_broken_is_named(harm: Any, words: str, tmp_path: Path) -> None:
    write(tmp_path, [6], 2)
    store(tmp_path)
    harm(tmp_path)
    with pytest.raises(DataError, match=words):
        Store(str(tmp_path)).read(5 if "no row" in words else 0)


def test_no_parquet_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no Parquet files here"):
        Store.of_parquet(str(tmp_path))
    (tmp_path / "text").write_text("no Parquet")
    with pytest.raises(DataError, match="cannot read .*text as Parquet"):
        Store.of_parquet(str(tmp_path))


def test_a_parquet_folder_is_sorted_by_id_if_it_fits(tmp_path: Path) -> None:
    from pyarrow import parquet

    ids = ["b", "é", None, "a", "b", "z"]
    table = pyarrow.table({"id": ids, "n": range(6)})
    parquet.write_table(table, tmp_path / "part.parquet", row_group_size=2)
    rows = Store.of_parquet(str(tmp_path), ["n"])
    found = [rows.read(i) for i in range(6)]
    assert [row["n"] for row in found] == [2, 3, 0, 4, 5, 1]
    assert [rows.id(row, i) for i, row in enumerate(found)] == ["00000000", "a", "b", "b", "z", "é"]
    large = Store.of_parquet(str(tmp_path), ["n"], window=1)
    assert [large.read(i)["n"] for i in range(6)] == list(range(6))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_store_in_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_COPIES", str(tmp_path / "copies"))
    write(tmp_path / "here", [6, 3], 4)
    near = store(tmp_path / "here")
    with object_store() as bucket:
        assert find_index(f"{bucket}/store") is None
        for path in (tmp_path / "here").iterdir():
            upload(path, f"{bucket}/store/{path.name}")
        far = Store(f"{bucket}/store", ["label"])
        assert [far.read(i)["label"] for i in range(9)] == [near.read(i)["label"] for i in range(9)]
        with pytest.raises(DataError, match=r"nowhere: there is no store here"):
            Store(f"{bucket}/nowhere")
