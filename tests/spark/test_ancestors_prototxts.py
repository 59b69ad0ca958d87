"""The ancestor's own solvers and nets run, but for paths and the number of iterations unchanged."""

import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.database import create_database
from minicaffe.data.sample_key import SampleKey, write_sample_key
from minicaffe.data.sequence_writer import SequenceFileWriter
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.caffe_on_spark import has_validation
from minicaffe.proto import minicaffe_pb2 as pb
from tests.spark_mnist import pictures, write_lmdbs

pytestmark = pytest.mark.xdist_group("spark")


# --- data in the forms that the nets name --------------------------------------------------------


def mnist_lmdb(folder: Path, shared: Path) -> None:
    write_lmdbs(folder, train=3200, test=200)


def mnist_frame(folder: Path, shared: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name, count in (("train", 400), ("test", 100)):
        images, labels = pictures(name)
        table = {
            "id": [f"{i:08d}" for i in range(count)],
            "label": [str(label) for label in labels[:count]],
            "data": [image.tobytes() for image in images[:count]],
        }
        (folder / name).mkdir()
        parquet.write_table(pa.table(table), folder / name / "part-0.parquet")


def cifar_lmdb(folder: Path, shared: Path) -> None:
    for name, file in (("train", "data_batch_1"), ("test", "test_batch")):
        with lzma.open(shared / "data" / "cifar10" / f"{file}.bin.xz") as stream:
            raw = np.frombuffer(stream.read(400 * 3073), np.uint8).reshape(400, 3073)
        with create_database(folder / name) as out:
            for i, row in enumerate(raw):
                datum = pb.Datum(channels=3, height=32, width=32, label=int(row[0]))
                datum.data = row[1:].tobytes()
                out.put(f"{i:08d}".encode(), datum.SerializeToString())
    mean = pb.BlobProto(num=1, channels=3, height=32, width=32, data=raw[:, 1:].mean(axis=0))
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())


def sequence_files(folder: Path, shared: Path) -> None:
    images = shared / "data" / "images" / "caffeonspark"
    for name in ("train", "test"):
        with SequenceFileWriter(folder / name, "NONE") as out:
            for line in (images / "labels.txt").read_text().split("\n")[:4]:
                file, label = line.split()[:2]
                key = SampleKey(file, label, 0, 0, 0, True)
                out.put(write_sample_key(key), (images / file).read_bytes())


# --- the solvers ---------------------------------------------------------------------------------


class Case(NamedTuple):
    """A solver and a net by the first letters of their files, data, and what is cut short."""

    solver: str
    net: str
    data: Callable[[Path, Path], None]
    cut: dict[str, int] = {}  # noqa: RUF012
    options: dict[str, Any] = {}  # noqa: RUF012


SHORT = {"max_iter": 6, "test_iter": 2, "test_interval": 3}
CASES = {
    "lenet of the tests": Case("27affce4", "b84a6e20", mnist_lmdb),
    "lenet on a DataFrame": Case("9817aafa", "8df80913", mnist_frame, SHORT),
    "lenet on CoSData": Case("49a47387", "1845c299", mnist_frame, SHORT),
    "cifar10 quick": Case("a4eb2228", "48008a0d", cifar_lmdb, SHORT),
}
MORE = {
    "lenet on LMDB": Case("abd8f9fc", "25566491", mnist_lmdb, SHORT),
    "bvlc reference": Case("6b49f034", "2fba7f33", sequence_files, {"max_iter": 2},
                           {"resize": True}),
    "caffenet of the tests": Case("a1a56bf4", "6f412971", sequence_files, SHORT | {"max_iter": 4},
                                  {"resize": True}),
}  # fmt: skip


def prepare(case: Case, folder: Path, shared: Path) -> Path:
    """Solver and net in a folder, their paths led to data there; the solver's path."""
    place = shared / "data" / "prototxt"
    solver = next((place / "solver").glob(f"{case.solver}__yahoo__*")).read_text()
    net = next((place / "net_ext").glob(f"{case.net}__yahoo__*")).read_text()
    case.data(folder, shared)
    sources = iter(("train", "test"))
    net, count = re.subn(r'source: "[^"]+"', lambda _: f'source: "{folder}/{next(sources)}"', net)
    assert count == 2
    (folder / "net.prototxt").write_text(net)
    solver = re.sub(r'^net: "[^"]+"', 'net: "net.prototxt"', solver, flags=re.MULTILINE)
    for name, number in case.cut.items():
        solver, count = re.subn(rf"^{name}: *\d+", f"{name}: {number}", solver, flags=re.MULTILINE)
        assert count == 1 or "test" in name, name
    (folder / "solver.prototxt").write_text(solver)
    return folder / "solver.prototxt"


def run(sc: Any, case: Case, folder: Path, shared: Path) -> tuple[Config, Any]:
    """Train, with validation where the solver says so, and test; the validations' rows."""
    solver = prepare(case, folder, shared)
    conf = Config(sc, {"conf": solver, "model": folder / "trained.model", **case.options})
    spark = CaffeOnSpark(sc)
    train, test = DataSource.getSource(conf, True), DataSource.getSource(conf, False)
    rows: list[Any] = []
    if has_validation(conf.solverParameter):
        rows = spark.trainWithValidation(train, test).collect()
    else:
        spark.train(train)
    hdf5 = conf.solverParameter.snapshot_format == pb.SolverParameter.HDF5
    head = (folder / "trained.model").read_bytes()[:4]
    assert (head == b"\x89HDF") == hdf5
    assert set(spark.test(test)) >= {"accuracy", "loss"}
    return conf, rows


@pytest.mark.parametrize("name", CASES)
def test_they_run_as_they_are(
    sc: Any, name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, rows = run(sc, CASES[name], tmp_path, shared)
    if name == "lenet of the tests":  # what the ancestor's tests of it ask for
        assert len(rows) == 8
        assert rows[-1].accuracy[0] > 0.8
        assert rows[-1].loss[0] < 0.5
    else:
        assert [list(row.asDict()) for row in rows] == [["accuracy", "loss"]]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MORE)
def test_others_and_large_nets_run_too(
    sc: Any, name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(sc, MORE[name], tmp_path, shared)
