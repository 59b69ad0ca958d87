"""Stores that Spark writes: sorted by id, whole or not there, nothing lost."""

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.data.store import Store
from minicaffe.distributed.spark.files import store_folders
from minicaffe.distributed.spark.store_writer import digest_of_path, write_store
from minicaffe.errors import ClusterError, DataError


def rows_of(folder: str) -> list[dict[str, Any]]:
    store = Store(folder)
    return [store.read(index) for index in range(len(store))]


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".crc"))


def test_rows_are_sorted_by_id_and_none_is_lost(spark: Any, tmp_path: Path) -> None:
    # Skewed and empty partitions, ids that come twice and ids that are missing.
    ids = [f"{i:03d}" for i in range(50)] + ["007", "007", None, None]
    rows = [(i, number) for number, i in enumerate(ids)][::-1]
    frame = (
        spark.createDataFrame(rows, "id string, n int")
        .repartition(1)
        .union(spark.createDataFrame([], "id string, n int").repartition(3))
    )
    path = write_store(frame, str(tmp_path / "store"))
    found = [(row["id"], row["n"]) for row in rows_of(path)]
    assert found == [(i, n) for i, n in rows if i is None] + sorted(
        ((i, n) for i, n in rows if i is not None), key=lambda row: row[0]
    )


def test_without_ids_the_order_of_the_frame_stays(spark: Any, tmp_path: Path) -> None:
    frame = spark.range(0, 40, 1, 7).selectExpr("cast(100 - id as int) as label")
    store = Store(write_store(frame, str(tmp_path / "store")))
    assert [store.read(i)["label"] for i in range(40)] == [100 - i for i in range(40)]
    assert store.id(store.read(39), 39) == "00000039"


def test_numbers_are_sorted_as_numbers_and_columns_selected(spark: Any, tmp_path: Path) -> None:
    frame = spark.range(0, 30, 1, 3).selectExpr("30 - id as key", "id as `a b`", "'no' as other")
    path = write_store(frame, str(tmp_path / "store"), columns=["a b"], id="key")
    assert [row["key"] for row in rows_of(path)] == list(range(1, 31))
    assert set(Store(path).columns) == {"a b", "key"}
    with pytest.raises(ClusterError, match=r"no column 'b' \(they have: key, a b, other\)"):
        write_store(frame, str(tmp_path / "store"), columns=["b"])


def test_a_store_is_used_again_or_replaced(
    spark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "store"
    frame = spark.range(3).selectExpr("cast(id as string) id", "nullif(id, 1) label")
    write_store(frame, f"file:{folder}", source_digest="one")
    first = files_of(folder)
    write_store(frame, str(folder), source_digest="one")
    assert files_of(folder) == first
    told = capsys.readouterr().err
    assert "store is written, 3 rows in 1 row groups, 1 without label" in told
    assert "store is used as it is, 3 rows" in told
    write_store(frame, str(folder), source_digest="two")
    assert len(files_of(folder)) == len(first) == 2
    assert files_of(folder) != first
    before = files_of(folder)
    write_store(frame, str(folder), columns=["id"], source_digest="two")
    assert files_of(folder) != before
    before = files_of(folder)
    write_store(frame, str(folder), columns=["id"])  # no digest: it may be anything
    assert files_of(folder) != before


def test_a_job_that_fails_leaves_the_store_as_it_was(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    good = spark.range(3).selectExpr("cast(id as string) id")
    bad = spark.range(3).selectExpr("cast(assert_true(id < 2, 'no good') as string) id")
    with pytest.raises(ClusterError, match="no good"):
        write_store(bad, str(folder))
    with pytest.raises(DataError, match="there is no store here"):
        Store(str(folder))
    write_store(good, str(folder))
    before = files_of(folder)
    with pytest.raises(ClusterError, match="no good"):
        write_store(bad, str(folder))

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(store_folders.HadoopFolder, "write", full)
    with pytest.raises(ClusterError, match="the disk is full"):
        write_store(good, str(folder))
    assert files_of(folder) == before
    assert len(rows_of(str(folder))) == 3


def test_rows_of_any_size_make_small_groups(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store_folders.SETTINGS, "parquet.block.size", str(100_000))
    frame = spark.range(60).selectExpr("id", "cast(repeat('x', 20000) as binary) as data")
    store = Store(write_store(frame, str(tmp_path / "store")))
    assert len(store) == 60
    assert max(store.groups.sizes) <= 130_000  # though equal bytes could be packed


def test_the_digest_of_files_tells_whether_they_changed(spark: Any, tmp_path: Path) -> None:
    sc = spark.sparkContext
    spark.range(3).write.parquet(str(tmp_path / "set"))
    path = f"file:{tmp_path}/set"
    digest = digest_of_path(sc, path)
    assert digest == digest_of_path(sc, path) == digest_of_path(sc, f"file:{tmp_path}/s?t")
    assert digest != digest_of_path(sc, path, "a selection")
    os.utime(next((tmp_path / "set").glob("part-*.parquet")), (1, 1))
    assert digest != digest_of_path(sc, path)
    assert digest_of_path(sc, f"{path}/nothing") == ""


def test_a_folder_that_is_not_the_same_everywhere_is_refused(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = store_folders.HadoopFolder.names

    def all_but_one(*args: Any) -> list[str]:
        return [name for name in sorted(seen(*args)) if name.startswith("part-")][:-1]

    monkeypatch.setattr(store_folders.HadoopFolder, "names", all_but_one)
    frame = spark.range(0, 9, 1, 3).selectExpr("id")
    with pytest.raises(ClusterError, match="9 rows were written, and . are there: .*-store FOLDER"):
        write_store(frame, str(tmp_path / "store"))
    assert not (tmp_path / "store" / "index.json").exists()


def test_spark_connect_is_refused() -> None:
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    frame = type("DataFrame", (), {"sparkSession": session})()
    with pytest.raises(ClusterError, match="Spark Connect has no barrier stages"):
        write_store(frame, "store")
