"""The door to files, near and in an object store."""

import os
from collections.abc import Iterator

import pytest

from minicaffe.errors import DataError, Error, MissingExtra, SnapshotError
from minicaffe.machine import file_system
from minicaffe.machine.file_system import (
    at_hand,
    check_far,
    download,
    entry_of,
    exists,
    file_size,
    files_in,
    free_bytes,
    is_far,
    read_file,
    remove_file,
    upload,
)
from minicaffe.machine.whole_file import check_room, whole_file
from minicaffe.monitor.metrics import Metrics
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from minicaffe.solver.state_file import check_writable
from tests.far_files import object_store
from tests.solver.snapshots import make, weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store() as url:
        yield url


@pytest.fixture(params=["path", "file:", "s3a:"])
def folder(request, tmp_path):
    """The URL of a folder in each file system."""
    if request.param == "s3a:":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return str(tmp_path) if request.param == "path" else f"file://{tmp_path}"


def put(url, content=b"12345"):
    with whole_file(url if is_far(url) else file_system.local_path(url)) as beside:
        beside.write_bytes(content)


def test_a_file_is_written_found_read_and_removed(folder, tmp_path):
    url = f"{folder}/a.bin"
    assert not exists(url)
    put(url)
    assert exists(url) and file_size(url) == 5 and read_file(url) == b"12345"
    assert [(each.name, each.size) for each in files_in(folder)] == [("a.bin", 5)]
    before = entry_of(url).version
    put(url, b"54321 ")
    assert entry_of(url).version != before
    download(url, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"54321 "
    with at_hand(url) as path, open(path, "rb") as file:
        assert file.read() == b"54321 "
    remove_file(url)
    assert not exists(url)


@pytest.mark.parametrize("work", [read_file, file_size])
def test_a_file_that_is_not_there_is_named(folder, work):
    with pytest.raises(DataError, match=f"{folder}/none.*"):
        work(f"{folder}/none")


def test_a_folder_that_is_not_there_has_no_files(folder):
    assert files_in(f"{folder}/none") == []


def test_what_breaks_off_puts_nothing(folder):
    url = f"{folder}/a.bin"
    with pytest.raises(KeyError), whole_file(url if is_far(url) else "x") as beside:
        beside.write_bytes(b"123")
        raise KeyError
    assert not exists(url) and not os.path.exists("x")


def test_a_missing_bucket_is_said(bucket):
    with pytest.raises(SnapshotError, match=r"s3a://nowhere/x: cannot be written: its bucket is"):
        put_far("s3a://nowhere/x")
    with pytest.raises(DataError, match="s3: needs a bucket"):
        read_file("s3a:///x")


def put_far(url):
    with whole_file(url, SnapshotError) as beside:
        beside.write_bytes(b"")


def test_a_missing_library_is_said(bucket, monkeypatch):
    def nothing(module, name, purpose):
        raise MissingExtra(module, name, purpose)

    monkeypatch.setattr(file_system, "extra", nothing)
    for url, name in ((f"{bucket}/x", "s3"), ("hdfs://host/x", "hdfs")):
        with pytest.raises(Error, match=rf"{url}.* pip install 'minicaffe\[{name}\]'"):
            read_file(url)


def test_an_hdfs_that_does_not_answer_is_said(monkeypatch):
    pytest.importorskip("hdfs_native")
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with pytest.raises(DataError, match=r"hdfs://127.0.0.1:1/x: .* no NameNode answers at 127"):
        read_file("hdfs://127.0.0.1:1/x")
    with pytest.raises(DataError, match="'hdfs:///x' names no NameNode: write hdfs://HOST:8020"):
        exists("hdfs:///x")


def test_other_file_systems_are_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"no file system ftp: \(there are: file:, hdfs:, s3:, s3a"):
        read_file("ftp://host/x")


def test_room_is_looked_at_where_the_file_system_tells(tmp_path):
    assert free_bytes(str(tmp_path)) > 0
    check_room(f"{tmp_path}/m", 1, "-model")
    check_room("s3a://b/m", 1 << 60, "-model")
    with pytest.raises(SnapshotError, match="-model needs 1000000000000.0 MB in"):
        check_room(f"{tmp_path}/m", 10**18, "-model")


def test_an_object_is_looked_at_before_it_is_written(bucket):
    check_far(f"{bucket}/probed/m", SnapshotError)
    assert files_in(f"{bucket}/probed") == []
    with pytest.raises(SnapshotError, match="nowhere"):
        check_writable("s3a://nowhere/s")


@pytest.mark.parametrize("kind", ["", "snapshot_format: HDF5"])
def test_snapshots_lie_in_an_object_store(bucket, tmp_path, kind):
    prefix = f"{bucket}/{tmp_path.name}/s"
    whole = make(tmp_path, f"snapshot_prefix: '{prefix}' snapshot: 3 {kind}")
    whole.solve()
    end = ".h5" if kind else ""
    assert newest_complete_snapshot(prefix) == f"{prefix}_iter_6.solverstate{end}"
    remove_file(f"{prefix}_iter_6.caffemodel{end}")
    resumed = make(tmp_path, f"snapshot_after_train: false {kind}")
    resumed.solve(newest_complete_snapshot(prefix))
    assert (weights(resumed) == weights(whole)).all()


def test_a_damaged_far_state_is_named_by_its_url(bucket, tmp_path):
    url = f"{bucket}/bad.solverstate"
    (tmp_path / "bad").write_bytes(b"\xff\xff")
    upload(tmp_path / "bad", url)
    with pytest.raises(Error, match=f"^{url}: truncated"):
        make(tmp_path).restore(url)


def test_metrics_lie_in_an_object_store(bucket, tmp_path):
    url = f"{bucket}/{tmp_path.name}.csv"
    metrics = Metrics(url)
    metrics.add("train", 0, 1.0, {"loss": 2.0})
    metrics.add("train", 1, 1.5, {"loss": 1.0})
    assert read_file(url).decode().split() == [
        "phase,iteration,seconds,loss", "train,0,1.0,2.0", "train,1,1.5,1.0",
    ]  # fmt: skip
    assert [row["loss"] for row in Metrics(url, resume_at=0).rows] == [2.0]
