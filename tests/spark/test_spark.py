"""CaffeOnSpark in local[2]: two ranks in two Python workers, a ring of TCP between them."""

import contextlib
import csv
import json
import logging
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe import context
from minicaffe.distributed.auth import MAGIC, NONCE_SIZE
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, driver, submit
from minicaffe.distributed.spark.slots import count_slots
from minicaffe.errors import ClusterError, Error
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net_binary, read_solver
from minicaffe.solver.create import create_solver
from tests.spark_cluster import SmallSet, spark_context

pytestmark = pytest.mark.xdist_group("spark")


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    with spark_context("local[2]", spark_ui_enabled="true", spark_ui_port="0") as sc:
        yield sc


def config(sc: Any, solver: str, *args: str, ranks: int = 2) -> Config:
    return Config(sc, ["-conf", solver, "-clusterSize", str(ranks), *args])


def train(sc: Any, solver: str, model: Path, *args: str, ranks: int = 2) -> driver.Training:
    conf = config(sc, solver, "-train", "-model", str(model), *args, ranks=ranks)
    return CaffeOnSpark(sc).train(DataSource.getSource(conf, True))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def weights(model: Path) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{i}": np.array(blob.data, np.float32)
        for layer in read_net_binary(model).layer
        for i, blob in enumerate(layer.blobs)
    }


def trained_alone(solver: str) -> dict[str, np.ndarray]:
    """The same training without Spark, in this process."""
    with context.fresh() as here:
        param = read_solver(solver)
        here.data_seed = param.random_seed
        alone = create_solver(param)
        alone.step(param.max_iter)
        alone.close()
        net = alone.net.to_proto()
    return {
        f"{layer.name}/{i}": np.array(blob.data, np.float32)
        for layer in net.layer
        for i, blob in enumerate(layer.blobs)
    }


def test_two_ranks_follow_one_with_twice_the_batch(sc: Any, small: SmallSet) -> None:
    train(sc, small.solver("two", batch=5), small.folder / "two.caffemodel")
    two, one = weights(small.folder / "two.caffemodel"), trained_alone(small.solver(batch=10))
    assert two.keys() == one.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
        assert np.abs(values).max() > 0.01


def test_one_rank_is_the_solver_bit_for_bit(sc: Any, small: SmallSet) -> None:
    solver = small.solver()
    train(sc, solver, small.folder / "m.caffemodel", ranks=1)
    for name, values in trained_alone(solver).items():
        assert np.array_equal(weights(small.folder / "m.caffemodel")[name], values)


DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'


def test_a_stopped_and_resumed_run_gives_the_same_bits(sc: Any, small: SmallSet) -> None:
    """... and so do two runs from one seed: the straight run is repeated by halves."""
    straight = small.solver("straight", net=DROPOUT, max_iter=18)
    halves = small.solver("halves", net=DROPOUT, max_iter=9, more="snapshot: 9")
    train(sc, straight, small.folder / "straight.caffemodel")
    first = train(sc, halves, small.folder / "first.caffemodel")
    assert first.metrics.rows[-1]["iteration"] == 8
    state = small.folder / "small_iter_9.solverstate"
    second = train(sc, straight, small.folder / "first.caffemodel", "-snapshot", str(state))
    straight_bytes = (small.folder / "straight.caffemodel").read_bytes()
    assert (small.folder / "first.caffemodel").read_bytes() == straight_bytes
    iterations = [row["iteration"] for row in second.metrics.rows]
    assert iterations == [0, 5, 8, 10, 15, 17]  # the file goes on where the first run stopped


def test_what_a_training_leaves(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small.folder / "out"
    folder.mkdir()
    solver = small.solver(more="snapshot: 10")
    training = train(sc, solver, folder / "m.caffemodel")
    assert sorted(path.name for path in folder.iterdir()) == [
        "m.caffemodel", "m.metrics.csv", "m.tensorboard", "m.training.html",
        "small_iter_10.caffemodel", "small_iter_10.solverstate",
        "small_iter_20.caffemodel", "small_iter_20.solverstate",
    ]  # fmt: skip
    rows = read_csv(folder / "m.metrics.csv")
    assert [int(row["iteration"]) for row in rows] == [0, 5, 10, 15, 19]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    assert all(0 <= float(row["communication"]) <= 1 for row in rows)
    assert all(float(row["samples_per_second"]) > 0 for row in rows)
    assert [row["loss"] for row in training.metrics.rows] == [float(row["loss"]) for row in rows]
    shown = capsys.readouterr().err
    assert re.search(
        r"iteration 20/20  loss [\d.]+  lr 0.1  \d+ samples/s  communication \d+%", shown
    )
    assert re.search(r"^iteration +loss +learning_rate +samples_per_second", shown, re.MULTILINE)


def test_validation_in_training(sc: Any, small: SmallSet) -> None:
    solver = small.solver(max_iter=40, more="test_iter: 3 test_interval: 10")
    conf = config(sc, solver, "-train", "-model", str(small.folder / "m"))
    frame = CaffeOnSpark(sc).trainWithValidation(
        DataSource.getSource(conf, True), DataSource.getSource(conf, False)
    )
    assert [field.simpleString() for field in frame.schema] == [
        "accuracy:array<float>", "loss:array<float>",
    ]  # fmt: skip
    rows = frame.collect()
    assert len(rows) == 3  # after 10, 20 and 30 iterations
    assert rows[-1].accuracy[0] > 0.8
    tests = [row for row in read_csv(small.folder / "m.metrics.csv") if row["phase"] == "test"]
    assert [int(row["iteration"]) for row in tests] == [0, 10, 20, 30, 40]
    assert float(tests[1]["accuracy"]) == pytest.approx(rows[0].accuracy[0])


@pytest.fixture(scope="module")
def trained(sc: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallSet, Path]:
    small = SmallSet(tmp_path_factory.mktemp("trained"))
    train(sc, small.solver(), small.folder / "m.caffemodel")
    return small, small.folder / "m.caffemodel"


def forward_all(small: SmallSet, model: Path) -> tuple[np.ndarray, np.ndarray]:
    """ip2 and accuracy of the 21 test pictures, without Spark."""
    net = read_net_binary(model)
    x = np.array(small.pictures["test"], np.float32).reshape(21, 36) / 256
    blobs = {layer.name: [np.array(b.data) for b in layer.blobs] for layer in net.layer}
    hidden = np.maximum(x @ blobs["ip1"][0].reshape(12, 36).T + blobs["ip1"][1], 0)
    out = hidden @ blobs["ip2"][0].reshape(4, 12).T + blobs["ip2"][1]
    return out, out.argmax(axis=1) == np.arange(21) % 4


@pytest.mark.parametrize("partitions", [1, 4])
def test_features_have_every_row_once(sc: Any, trained: Any, partitions: int) -> None:
    small, model = trained
    conf = config(
        sc, small.solver(), "-features", "ip2,ip1,loss", "-label", "label",
        "-model", str(model), "-lmdb_partitions", str(partitions),
    )  # fmt: skip
    frame = CaffeOnSpark(sc).features(DataSource.getSource(conf, False))
    assert [field.simpleString() for field in frame.schema] == [
        "SampleID:string", "ip2:array<float>", "ip1:array<float>", "loss:array<float>",
        "label:array<float>",
    ]  # fmt: skip
    assert not any(field.nullable for field in frame.schema)
    rows = frame.collect()
    assert [row.SampleID for row in rows] == [f"{i:08d}" for i in range(21)]
    assert [row.label for row in rows] == [[i % 4] for i in range(21)]
    expected = forward_all(small, model)[0]
    np.testing.assert_allclose([row.ip2 for row in rows], expected, rtol=1e-4, atol=1e-4)
    assert {len(row.ip1) for row in rows} == {12}
    assert {len(row.loss) for row in rows} == {1}
    frame.unpersist()


def test_test_is_the_mean_over_all_samples(sc: Any, trained: Any) -> None:
    small, model = trained
    conf = config(sc, small.solver(), "-test", "-model", str(model), "-lmdb_partitions", "3")
    result = CaffeOnSpark(sc).test(DataSource.getSource(conf, False))
    assert list(result) == ["accuracy", "loss"]
    assert result["accuracy"] == [pytest.approx(forward_all(small, model)[1].mean())]


def test_a_stock_data_layer_works_too(sc: Any, small: SmallSet) -> None:
    path = Path(small.solver())
    net = small.folder / "solver_net.prototxt"
    text = (
        net.read_text()
        .replace("MemoryData", "Data")
        .replace("memory_data_param {", "data_param { backend: LMDB")
    )
    net.write_text(re.sub(r'source_class: "[^"]*"', "", text))
    train(sc, str(path), small.folder / "m.caffemodel")
    conf = config(sc, str(path), "-features", "ip2", "-model", str(small.folder / "m.caffemodel"))
    frame = CaffeOnSpark(sc).features(DataSource.getSource(conf, False))
    assert frame.count() == 21
    frame.unpersist()


def test_a_bad_record_is_left_out_and_told(
    sc: Any, trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from minicaffe.data.database import create_database, open_database

    small, model = trained
    with open_database(small.folder / "test") as old, create_database(tmp_path / "test") as new:
        for key, value in old.items():
            new.put(key, value[:20] if key == b"00000007" else value)
    path = Path(small.solver("bad"))
    net = small.folder / "bad_net.prototxt"
    net.write_text(net.read_text().replace(f"{small.folder}/test", f"{tmp_path}/test"))
    conf = config(sc, str(path), "-features", "ip2", "-model", str(model))
    with caplog.at_level(logging.WARNING, "minicaffe"):
        frame = CaffeOnSpark(sc).features(DataSource.getSource(conf, False))
    assert "00000007" not in [row.SampleID for row in frame.collect()]
    assert frame.count() == 20
    assert "b'00000007'" in caplog.text
    assert "1 samples cannot be read" in caplog.text
    frame.unpersist()


# --- the command line --------------------------------------------------------------------------


def test_train_and_features_in_one_command(
    sc: Any, small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.folder)
    args = ("-train", "-features", "ip2", "-label", "label", "-model", "file:m",
            "-output", "file:features")  # fmt: skip
    submit.run(sc, config(sc, small.solver(), *args))
    lines = [
        json.loads(line)
        for part in sorted((small.folder / "features").glob("part-*"))
        for line in part.read_text().splitlines()
    ]
    assert [line["SampleID"] for line in lines] == [f"{i:08d}" for i in range(21)]
    assert set(lines[0]) == {"SampleID", "ip2", "label"}
    with pytest.raises(ClusterError, match="exists already"):
        submit.run(sc, config(sc, small.solver(), *args))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "nothing to do"),
        (("-train",), "-model FILE"),
        (("-test", "-model", "none"), "-output PATH"),
        (("-test", "-output", "/proc/x/y"), "no folder /proc/x"),
        (("-test", "-output", "nosuch://x/y"), "nosuch"),
        (("-test", "-output", "o", "-model", "none"), "-model: cannot read .*none"),
        (("-features", "ip1", "-output", "o", "-outputFormat", "csv"), "csv: .*ARRAY<FLOAT>"),
        (
            ("-features", "ip1", "-output", "o", "-outputFormat", "jsno"),
            "Spark has no such format; did you mean 'json'",
        ),
        (("-features", "ip1", "-output", "o", "-outputFormat", "avro"), "avro: .*external"),
        (("-features", "ip1", "-output", "o", "-outputFormat", "xml"), "xml: .*rowTag"),
        (("-features", "ip9", "-output", "o", "-model", __file__), "no blob 'ip9' .*ip1, ip2"),
        (("-features", "ip1", "-output", "o"), "no model is given"),
    ],
)
def test_command_lines_that_cannot_work(
    sc: Any, small: SmallSet, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.folder)
    with pytest.raises(Error, match=message) as caught:
        submit.run(sc, config(sc, small.solver(), *args))
    assert "\n" not in str(caught.value)
    assert not list(small.folder.glob("o*"))


def test_test_writes_a_line_an_output(sc: Any, trained: Any, tmp_path: Path) -> None:
    small, model = trained
    submit.run(
        sc, config(sc, small.solver(), "-test", "-model", str(model), "-output", f"{tmp_path}/r")
    )
    assert re.fullmatch(r"accuracy: [\d.]+\nloss: [\d.]+\n", (tmp_path / "r").read_text())
    assert [each.name for each in tmp_path.iterdir()] == ["r"]


def test_a_plain_output_lies_in_the_working_directory(
    sc: Any, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... of Python, for -test as for -features, wherever Java was started."""
    small, model = trained
    monkeypatch.chdir(tmp_path)
    for args in (("-test", "-output", "t"), ("-features", "ip2", "-output", "f")):
        submit.run(sc, config(sc, small.solver(), "-model", str(model), *args))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f", "t"]
    assert next((tmp_path / "f").glob("part-*"))


def test_test_writes_into_any_file_system(sc: Any, trained: Any, tmp_path: Path) -> None:
    small, model = trained
    mounts = sc._jsc.hadoopConfiguration()
    mounts.set("fs.viewfs.mounttable.cluster.link./results", f"file://{tmp_path}")
    place = "viewfs://cluster/results/r"
    args = ("-test", "-model", str(model), "-output", place)
    submit.run(sc, config(sc, small.solver(), *args))
    assert re.fullmatch(r"accuracy: [\d.]+\nloss: [\d.]+\n", (tmp_path / "r").read_text())
    with pytest.raises(ClusterError, match=f"-output {place} exists already"):
        submit.run(sc, config(sc, small.solver(), *args))


# --- errors ------------------------------------------------------------------------------------


def spoil(small: SmallSet, what: str) -> list[str]:
    """Break one thing about a training; further arguments for it."""
    net = small.folder / "solver_net.prototxt"
    text = net.read_text()
    if what == "data missing":
        net.write_text(text.replace("/train", "/nowhere"))
    elif what == "data truncated":
        data = (small.folder / "train" / "data.mdb").read_bytes()
        (small.folder / "train" / "data.mdb").write_bytes(data[:9000])
    elif what == "label out of range":
        net.write_text(text.replace("num_output: 4", "num_output: 3"))
    elif what == "wrong shape":
        net.write_text(
            text.replace("batch_size: 5", "batch_size: 5 channels: 3 height: 9 width: 9")
        )
    elif what == "unknown layer":
        net.write_text(text.replace('"InnerProduct"', '"InnerProdukt"'))
    elif what == "weights of another net":
        other = pb.NetParameter()
        blob = other.layer.add(name="ip1").blobs.add(data=[1.0])
        blob.shape.dim.append(1)
        other.layer[0].blobs.add().CopyFrom(blob)
        (small.folder / "w").write_bytes(other.SerializeToString())
        return ["-weights", str(small.folder / "w")]
    elif what == "too many ranks":
        return ["-clusterSize", "3"]
    return []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("data missing", r"no LMDB at .*nowhere"),
        ("data truncated", r"cut short"),
        ("label out of range", r"rank \d on \S+: layer 'loss' \(SoftmaxWithLoss\): .*label"),
        ("wrong shape", r"rank \d on \S+: layer 'data' \(MemoryData\): .*\(3, 9, 9\)"),
        ("unknown layer", r"InnerProduct"),
        ("weights of another net", r"rank \d on \S+: .*layer 'ip1'"),
        (
            "too many ranks",
            r"3 ranks are asked for, local\[2\] has slots for 2: use -clusterSize 2",
        ),
    ],
)
def test_one_clear_error_and_nothing_half_written(
    sc: Any, small: SmallSet, what: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    solver = small.solver(more="snapshot: 10")
    args = spoil(small, what)
    out = small.folder / "out"
    out.mkdir()
    with pytest.raises(Error, match=message) as caught:
        train(sc, solver, out / "m.caffemodel", *args)
    assert "\n" not in str(caught.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("factor", [2, 4])  # the second in Python processes that knew the first
def test_python_layers_beside_the_prototxt_travel(
    sc: Any, small: SmallSet, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the modules that they import, into training, test and features."""
    (small.folder / "elsewhere").mkdir()
    monkeypatch.chdir(small.folder / "elsewhere")
    solver = small.solver(net=small.python_layer(str(factor)), max_iter=2)
    train(sc, solver, small.folder / "m")
    conf = config(sc, solver, "-model", str(small.folder / "m"), "-features", "ip1,times")
    source, spark = DataSource.getSource(conf, False), CaffeOnSpark(sc)
    assert len(spark.test(source)["times"]) == 12
    rows = spark.features(source).collect()
    assert len(rows) == 21
    for row in rows:
        np.testing.assert_array_equal(np.array(row.times), factor * np.array(row.ip1))


def test_an_error_of_a_python_layer_is_one_sentence(sc: Any, small: SmallSet) -> None:
    """It names layer, method, file and line, and the prototxt's line, from every kind of job."""
    solver = small.solver(net=small.python_layer("None"), max_iter=2)
    said = (
        r"layer 'times' \(Python\): Times.forward, own_layer.py:7: TypeError: unsupported operand"
        r".* \(.*solver_net.prototxt:\d+\)$"
    )
    with pytest.raises(ClusterError, match=rf"^rank \d on \S+: {said}"):
        train(sc, solver, small.folder / "m")
    plain = small.solver("plain", max_iter=2)
    train(sc, plain, small.folder / "m")
    conf = config(sc, solver, "-model", str(small.folder / "m"))
    with pytest.raises(ClusterError, match=rf"^{said}"):
        CaffeOnSpark(sc).test(DataSource.getSource(conf, False))


def test_the_session_goes_on_after_errors(sc: Any, trained: Any) -> None:
    """The workers of failed ranks are gone: both slots are free for the next barrier job."""
    small, _ = trained
    assert count_slots(sc) == 2
    train(sc, small.solver(max_iter=2), small.folder / "again.caffemodel")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spark.dynamicAllocation.enabled": "true"}, "dynamicAllocation"),
        (
            {"spark.python.worker.idleTimeoutSeconds": "4",
             "spark.python.worker.killOnIdleTimeout": "true"},
            "idleTimeoutSeconds",
        ),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(small: SmallSet, settings: dict[str, str], message: str) -> None:
    class Context:
        master = "local[2]"

        def getConf(self) -> dict[str, str]:
            return settings

    conf = config(Context(), small.solver())
    with pytest.raises(ClusterError, match=message):
        CaffeOnSpark(Context()).train(DataSource.getSource(conf, True))


# --- a training that runs ----------------------------------------------------------------------


@pytest.fixture
def generations(monkeypatch: pytest.MonkeyPatch) -> list[driver.Generation]:
    """The generations that are started while a test runs."""
    seen: list[driver.Generation] = []
    begin = driver.Generation.__init__

    def remember(self: driver.Generation, *args: Any) -> None:
        begin(self, *args)
        seen.append(self)

    monkeypatch.setattr(driver.Generation, "__init__", remember)
    return seen


def wait_for_ranks(generations: list[driver.Generation]) -> driver.Generation:
    deadline = time.monotonic() + 60
    while (
        not (generations and len(generations[0].report.hosts) == 2) and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return generations[0]


def wait_for_the_end_of_jobs(sc: Any) -> None:
    """Spark tells a job's caller first that it is over, then those who count jobs."""
    deadline = time.monotonic() + 30
    while (jobs := list(sc.statusTracker().getActiveJobsIds())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert jobs == []


def test_strangers_are_refused_and_the_training_goes_on(
    sc: Any, small: SmallSet, generations: list[driver.Generation]
) -> None:
    heard: list[bytes] = []

    def intrude() -> None:
        generation = wait_for_ranks(generations)
        for _ in range(3):
            with socket.create_connection(generation.server.address, 5) as stranger:
                stranger.settimeout(5)
                stranger.sendall(bytes(200))
                said = b""
                with contextlib.suppress(ConnectionError):  # hung up on
                    while part := stranger.recv(1000):
                        said += part
                heard.append(said)

    thread = threading.Thread(target=intrude)
    thread.start()
    train(sc, small.solver(max_iter=300), small.folder / "m.caffemodel")
    thread.join()
    assert [said[:14] for said in heard] == [b"minicaffe ring"] * 3
    assert {len(said) for said in heard} == {len(MAGIC) + NONCE_SIZE}  # a challenge, no more


def test_the_spark_ui_says_what_runs(
    sc: Any, small: SmallSet, generations: list[driver.Generation]
) -> None:
    train(sc, small.solver(max_iter=2), small.folder / "m.caffemodel")
    url = f"{sc.uiWebUrl}/api/v1/applications/{sc.applicationId}/jobs"
    with urllib.request.urlopen(url, timeout=20) as answer:
        job = json.load(answer)[0]
    assert job["name"].startswith("minicaffe train solver.prototxt")
    what = "minicaffe: train solver.prototxt on 2 ranks, iterations 0 to 2"
    assert job["description"] == f"{what} (<a href='/minicaffe/'>live</a>)"


def test_an_interrupt_ends_the_ranks(
    sc: Any, small: SmallSet, generations: list[driver.Generation]
) -> None:
    def interrupt() -> None:
        wait_for_ranks(generations)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train(sc, small.solver(max_iter=1000000), small.folder / "m.caffemodel")
    thread.join()
    wait_for_the_end_of_jobs(sc)
    assert not (small.folder / "m.caffemodel").exists()
    train(sc, small.solver(max_iter=2), small.folder / "m.caffemodel")
