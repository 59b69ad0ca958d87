"""Config, nets that travel, the control line: the parts of CaffeOnSpark that need no Spark."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from minicaffe.distributed.spark import control, portable
from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.data_source import DataSource
from minicaffe.distributed.spark.options import OPTIONS
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.distributed.spark.slots import expected_slots
from minicaffe.distributed.spark.spark_job import reason_of
from minicaffe.errors import ClusterError, Error
from minicaffe.proto import minicaffe_pb2 as pb

NET = """
name: "n"
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TRAIN }
        source_class: "com.yahoo.ml.caffe.LMDB"
        memory_data_param { source: "train_db" batch_size: 4 } }
layer { name: "data" type: "MemoryData" top: "data" top: "label" include { phase: TEST }
        source_class: "com.yahoo.ml.caffe.LMDB"
        memory_data_param { source: "file:///test_db" batch_size: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = (
    'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 10 test_iter: 2 test_interval: 5'
)


@pytest.fixture
def solver(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return str(tmp_path / "solver.prototxt")


# --- Config ------------------------------------------------------------------------------------


def test_a_command_line_of_the_ancestor() -> None:
    words = (
        "-conf s.prototxt -train -features ip1,ip2 -label label -outputFormat parquet"
        " -model file:/m -output o -devices 1 -persistent -snapshot a -weights b"
        " -connection ethernet -resize -clusterSize 3 -lmdb_partitions 6"
    )
    conf = Config(None, words.split())
    assert (conf.protoFile, conf.modelPath, conf.outputPath) == ("s.prototxt", "file:/m", "o")
    assert conf.features == ["ip1", "ip2", "label"]
    assert (conf.isTraining, conf.isTest, conf.isFeature) == (True, False, True)
    assert (conf.isRddPersistent, conf.resize) == (True, True)
    assert (conf.snapshotStateFile, conf.snapshotModelFile) == ("a", "b")
    assert (conf.clusterSize, conf.lmdb_partitions, conf.devices) == (3, 6, 1)
    assert (conf.outputFormat, conf.connection) == ("parquet", "ethernet")


@pytest.mark.parametrize("args", [
    {"conf": "s", "train": "", "resize": "True", "clusterSize": 2},
    {"-conf": "s", "-train": True, "-resize": 1, "-clusterSize": "2"},
    ["--conf", "s", "--train", "--resize", "--clusterSize=2"],
])  # fmt: skip
def test_a_dict_or_a_list_with_or_without_dashes(args: Any) -> None:
    conf = Config(None, args)
    assert (conf.protoFile, conf.isTraining, conf.resize, conf.clusterSize) == ("s", True, True, 2)


@pytest.mark.parametrize("value", [False, None, "False", "false", 0])
def test_a_switch_of_a_dict_may_say_no(value: Any) -> None:
    assert not Config(None, {"train": value}).isTraining


def test_defaults() -> None:
    conf = Config(None, [])
    assert (conf.outputFormat, conf.devices, conf.clusterSize) == ("json", 1, 1)
    assert (conf.label, Config(None).label) == ("", "label")
    assert conf.connection == "ethernet"


def test_features_win_over_test_on_the_command_line(caplog: pytest.LogCaptureFixture) -> None:
    conf = Config(None, ["-features", "ip1", "-test"])
    assert (conf.isTest, conf.features) == (False, ["ip1"])
    assert "only -features" in caplog.text
    conf.isTest = True
    assert (conf.isTest, conf.isFeature) == (True, False)
    assert "only -test" in caplog.text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-trian"], "did you mean '-train'"),
        (["-zzz", "1"], "known: conf, train"),
        (["train"], "begin with a dash"),
        (["-conf"], "-conf needs a value"),
        (["-clusterSize", "0"], "whole number above 0"),
        (["-devices", "two"], "whole number above 0"),
        (["-vocabSize", "0"], "above 0, or -1 for all"),
        (
            ["-connection", "ethernt"],
            "mean 'ethernet'.*known: ethernet, infiniband, rdma",
        ),
        ({"nosuch": 1}, "no option -nosuch"),
    ],
)
def test_what_a_config_refuses(args: Any, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        Config(None, args)


def test_an_unknown_attribute_is_an_error() -> None:
    conf = Config(None, [])
    with pytest.raises(AttributeError, match="no option 'modelpath'; did you mean 'modelPath'"):
        conf.modelpath = "x"
    with pytest.raises(AttributeError):
        _ = conf.nosuch


def test_every_option_is_an_attribute() -> None:
    conf = Config(None, [])
    assert all(hasattr(conf, option.attribute) for option in OPTIONS.values())
    assert "clusterSize: 1" in repr(conf)


def test_data_layers_and_sources(solver: str) -> None:
    conf = Config(None, ["-conf", solver])
    assert (conf.train_data_layer_id, conf.test_data_layer_id) == (0, 1)
    source = DataSource.getSource(conf, False)
    assert (source.isTrain, source.source_class, source.batchSize()) == (False, "LMDB", 8)
    assert DataSource(None).getSource(conf, True).batchSize() == 4


# --- solvers and nets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "old", "new", "message"),
    [
        ("solver", "base_lr", "base_lrr", r"solver\.prototxt:1:\d+: .*base_lrr"),
        ("net", "num_output", "num_outputs", r"net\.prototxt:\d+:\d+: .*num_outputs"),
        ("solver", "net.prototxt", "none.prototxt", "its net is missing"),
        ("solver", "max_iter: 10", "", "max_iter must be above 0"),
        ("solver", "test_iter: 2", "", "validation needs test_iter"),
        ("net", "com.yahoo.ml.caffe.LMDB", "com.yahoo.ml.caffe.LMBD", "no data source.*LMDB"),
        ("net", 'source_class: "com.yahoo.ml.caffe.LMDB"', "", "source_class must be given"),
        ("net", 'source: "train_db"', "", "source must be given"),
    ],
)
def test_what_a_plan_refuses(
    solver: str, tmp_path: Path, what: str, old: str, new: str, message: str
) -> None:
    path = tmp_path / f"{what}.prototxt"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Error, match=message):
        plan_training(Config(Cluster(), ["-conf", solver]), validate=True)


@pytest.mark.parametrize(
    ("args", "plan"),
    [
        ([], ("tcp", "cpu", "float32")),
        (["-connection", "Ethernet", "-device", "reference"], ("tcp", "reference", "float32")),
        (["-connection", "inproc"], ("inproc", "cpu", "float32")),
        (["-connection", "auto"], ("auto", "cpu", "float32")),
        (["-connection", "infiniband"], ("rdma", "cpu", "float32")),
        (["-connection", "shm", "-device", "cuda:1"], ("shm", "cuda:1", "float32")),
        (["-device", "cuda", "-precision", "tf32"], ("tcp", "cuda", "tf32")),
    ],
)
def test_transports_and_devices_are_found_by_name(
    solver: str, args: list[str], plan: tuple[str, str, str]
) -> None:
    made = plan_training(Config(Cluster(), ["-conf", solver, *args]), validate=False)
    assert (made.scheme, made.device, made.precision) == plan


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-precision", "tf32"], "-precision tf32 is for the device cuda, not for cpu"),
        (["-device", "quantum"], "no device 'quantum' .there are: .*cpu"),
        (["-model", "none/m"], "no folder .*none"),
        (["-model", "."], "is a folder"),
        (["-model", "hdfs:///m"], "hdfs"),
        (["-model", "/proc/m"], "cannot write into /proc"),
        (["-snapshot", "none.solverstate"], "none.solverstate"),
        (["-weights", "none.caffemodel"], "none.caffemodel"),
        (["-conf", "none.prototxt"], "no solver prototxt none"),
    ],
)
def test_options_that_a_plan_refuses(solver: str, args: list[str], message: str) -> None:
    with pytest.raises(Error, match=message):
        plan_training(Config(Cluster(), ["-conf", solver, *args]), validate=False)


class Cluster:
    """A SparkContext as far as a plan looks at it."""

    master = "spark://host:7077"


def test_a_plan_is_complete_without_files(
    solver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solver.prototxt").write_text(SOLVER + ' snapshot: 5 snapshot_prefix: "a/b/lenet"')
    mean = pb.BlobProto(num=1, channels=1, height=1, width=1, data=[3])
    (tmp_path / "mean").write_bytes(mean.SerializeToString())
    net = NET.replace('layer { name: "ip"', 'layer { name: "ip"').replace(
        "memory_data_param { source",
        'transform_param { mean_file: "mean" } memory_data_param { source',
    )
    (tmp_path / "net.prototxt").write_text(net)
    plan = plan_training(Config(Cluster(), ["-conf", solver, "-model", "m.caffemodel"]), True)
    assert not plan.solver.HasField("net")
    assert [layer.memory_data_param.source for layer in plan.solver.net_param.layer[:2]] == [
        str(tmp_path / "train_db"), "/test_db",
    ]  # fmt: skip
    assert list(plan.files.values()) == [mean.SerializeToString()]
    assert plan.solver.net_param.layer[0].transform_param.mean_file in plan.files
    assert plan.solver.snapshot_prefix == str(tmp_path / "lenet")
    assert plan.stem == str(tmp_path / "m")
    assert plan.solver.random_seed >= 0


def test_resize_reaches_the_data_layers(solver: str) -> None:
    plan = plan_training(Config(Cluster(), ["-conf", solver, "-resize"]), False)
    assert all(layer.memory_data_param.resize for layer in plan.solver.net_param.layer[:2])


def test_a_net_without_a_test_is_trained(solver: str, tmp_path: Path) -> None:
    layers = [layer for layer in NET.split("\nlayer ") if "phase: TEST" not in layer]
    (tmp_path / "net.prototxt").write_text("\nlayer ".join(layers))
    plan = plan_training(Config(Cluster(), ["-conf", solver]), False)
    assert not plan.solver.test_iter
    with pytest.raises(ClusterError, match="has no data layer in phase TEST"):
        Config(Cluster(), ["-conf", solver]).data_layer(pb.TEST)


def test_the_test_net_needs_no_test_iter() -> None:
    param = pb.SolverParameter()
    param.net_param.name = "common"
    assert portable.test_net(param).name == "common"
    param.test_net_param.add().name = "own"
    param.test_net_param.add().name = "second"
    assert portable.test_net(param).name == "own"
    with pytest.raises(ClusterError, match="no net to test"):
        portable.test_net(pb.SolverParameter())


@pytest.mark.parametrize(
    ("master", "settings", "slots"),
    [
        ("local-cluster[2,3,1024]", {}, 6),
        ("local-cluster[2, 3, 1024]", {"spark.task.cpus": "2"}, 2),
        ("spark://h:7077", {}, None),
        ("spark://h:7077", {"spark.cores.max": "5", "spark.task.cpus": "2"}, 2),
        ("yarn", {"spark.executor.instances": "3", "spark.executor.cores": "4"}, 12),
    ],
)
def test_how_many_slots_there_will_be(
    master: str, settings: dict[str, str], slots: int | None
) -> None:
    class Context:
        def getConf(self) -> dict[str, str]:
            return settings

    context: Any = Context()
    context.master = master
    assert expected_slots(context) == slots


# --- errors of Spark ---------------------------------------------------------------------------

TRACE = """An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.
: org.apache.spark.SparkException: Job aborted due to stage failure: Could not recover from a failed
barrier ResultStage. Most recent failure reason: Stage failed because barrier task ResultTask(0, 1)
finished unsuccessfully.
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "x.py", line 3, in f
{}
\tat org.apache.spark.api.python.BasePythonRunner
"""


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("minicaffe.errors.DataError: no LMDB at /x: nothing", "no LMDB at /x: nothing"),
        (
            "minicaffe.errors.DataError: no LMDB at /x: nothing\n SQLSTATE: 38000",
            "no LMDB at /x: nothing",
        ),
        ("ValueError: bad value", "ValueError: bad value"),
        (
            "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)",
            "rank 1 was lost: its",
        ),
    ],
)
def test_the_cause_is_found_in_a_page_of_java(inside: str, reason: str) -> None:
    found = reason_of(RuntimeError(TRACE.format(inside)))
    assert found.startswith(reason)
    assert "\n" not in found


# --- the control line --------------------------------------------------------------------------


@pytest.fixture
def server() -> Any:
    server = control.ControlServer("127.0.0.1", "run", 3, b"secret")
    yield server
    server.close()


def test_ranks_tell_the_driver(server: control.ControlServer) -> None:
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=1)
    assert line.host == "127.0.0.1"
    line.say("row", loss=0.5)
    line.say("row", loss=float("nan"))
    assert server.messages.get(timeout=5) == {"kind": "row", "rank": 1, "loss": 0.5}
    assert server.messages.get(timeout=5)["loss"] != 0.5
    line.close()
    line.say("row", loss=1)  # nobody listens; training goes on


def test_a_rank_that_dies_is_missed(server: control.ControlServer) -> None:
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=1)
    line.say("hello")
    line._socket.shutdown(socket.SHUT_RDWR)  # what the system does for a process that is killed
    assert server.messages.get(timeout=5)["kind"] == "hello"
    assert server.messages.get(timeout=5) == {"kind": "lost", "rank": 1}
    line.close()


def test_a_rank_that_leaves_is_not_missed(server: control.ControlServer) -> None:
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=1)
    line.say("end")
    line.close()
    deadline = time.monotonic() + 5
    while server._connections and time.monotonic() < deadline:
        time.sleep(0.01)
    said = [server.messages.get(timeout=5)["kind"] for _ in range(2)]
    assert said == ["end", "bye"]
    assert server.messages.empty()


@pytest.mark.parametrize(
    "seat", [("run", 3, b"guess"), ("run", 2, b"secret"), ("old", 3, b"secret")]
)
def test_others_are_refused(server: control.ControlServer, seat: Any) -> None:
    with pytest.raises(ClusterError, match="cannot reach the driver"):
        control.ControlLine(server.address, *seat, rank=0)
    assert server.messages.empty()


@pytest.mark.parametrize(
    "noise", [b"", b"GET / HTTP/1.0\r\n\r\n", bytes(5000), b'{"kind": "row"}\n' * 9]
)
def test_strangers_change_nothing(
    server: control.ControlServer, noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=0)
    with socket.create_connection(server.address) as stranger:
        stranger.sendall(noise)
        line.say("hello")
        assert server.messages.get(timeout=5)["kind"] == "hello"
    line.say("row")
    assert server.messages.get(timeout=5)["kind"] == "row"
    assert server.messages.empty()
    line.close()


def test_a_message_that_is_no_message_ends_the_line(server: control.ControlServer) -> None:
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=0)
    line._socket.sendall(b"not json\n" + json.dumps({"kind": "row"}).encode() + b"\n")
    deadline = time.monotonic() + 5
    while server._connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server._connections
    assert server.messages.empty()
    line.close()
