"""The ancestor's 24 options and 31 attributes, and what their values may be."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import submit
from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.options import OPTIONS, SETTABLE
from minicaffe.distributed.spark.session import context_of
from minicaffe.distributed.spark.shipping.shipped_files import shipped
from minicaffe.errors import ClusterError
from tests.spark.test_spark_config import NET, SOLVER

ANCESTORS_OPTIONS = """
conf train test features label outputFormat model output devices persistent snapshot weights
connection resize clusterSize lmdb_partitions imageRoot labelFile captionFile captionLength
vocabSize imageCaptionDFDir vocabDir embeddingDFDir
"""

ANCESTORS_ATTRIBUTES = """
clusterSize connection devices features imageRoot isFeature isRddPersistent isTest isTraining label
labelFile lmdb_partitions log modelPath netParam outputFormat outputPath protoFile resize
snapshotModelFile snapshotStateFile solverParameter test_data_layer_id train_data_layer_id
transform_thread_per_device imageCaptionDFDir vocabDir embeddingDFDir captionFile captionLength
vocabSize
"""


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path / "solver.prototxt"


def test_all_options_of_the_ancestor_are_there() -> None:
    assert len(ANCESTORS_OPTIONS.split()) == 24
    assert not set(ANCESTORS_OPTIONS.split()) - set(OPTIONS)


def test_all_attributes_of_the_ancestor_are_there(solver: Path) -> None:
    conf = Config(None, {"conf": solver, "features": "ip"})
    assert len(ANCESTORS_ATTRIBUTES.split()) == 31
    values = {name: getattr(conf, name) for name in ANCESTORS_ATTRIBUTES.split()}
    assert (values["train_data_layer_id"], values["test_data_layer_id"]) == (0, 1)
    assert values["netParam"].name == "n"
    assert values["isFeature"] is True


def test_the_options_of_the_tools() -> None:
    conf = Config(None, [])
    assert (conf.captionLength, conf.vocabSize, conf.labelFile) == (20, -1, "")
    words = (
        "-imageRoot i -labelFile l -captionFile c -captionLength 7 -vocabSize -1"
        " -imageCaptionDFDir a -vocabDir v -embeddingDFDir e"
    )
    conf = Config(None, words.split())
    assert (conf.imageRoot, conf.labelFile, conf.captionFile) == ("i", "l", "c")
    assert (conf.captionLength, conf.vocabSize) == (7, -1)
    assert (conf.imageCaptionDFDir, conf.vocabDir, conf.embeddingDFDir) == ("a", "v", "e")
    assert Config(None, {"vocabSize": 8800}).vocabSize == 8800


# --- values ------------------------------------------------------------------------------------

WRONG = [
    ("clusterSize", 0, "-clusterSize 0: a whole number above 0"),
    ("clusterSize", -3, "-clusterSize -3"),
    ("clusterSize", "two", "-clusterSize two"),
    ("clusterSize", 1.5, "-clusterSize 1.5"),
    ("clusterSize", True, "-clusterSize True"),
    ("clusterSize", None, "-clusterSize None"),
    ("devices", "0", "-devices 0"),
    ("lmdb_partitions", 0, "-lmdb_partitions 0"),
    ("vocabSize", 0, "-vocabSize 0: a whole number above 0, or -1 for all, is expected"),
    ("vocabSize", -2, "-vocabSize -2"),
    ("transform_thread_per_device", 0, "transform_thread_per_device 0"),
    ("protoFile", None, "-conf None: a text is expected, not NoneType"),
    ("outputFormat", 3, "-outputFormat 3: a text is expected, not int"),
    ("modelPath", b"m", "-model b'm': a text is expected, not bytes"),
    ("features", 7, "-features 7: names are expected"),
    ("features", ["ip1", None], "names are expected"),
    ("resize", "Flase", "-resize Flase: true or false is expected; did you mean 'false'"),
    ("isTraining", [], "true or false is expected"),
    (
        "connection",
        "ethernt",
        "did you mean 'ethernet'.*known: ethernet, infiniband, rdma, none, auto",
    ),
    ("connection", 3, "-connection 3: there is no such connection.*0 none, 1 rdma, 2 ethernet"),
    ("connection", None, "-connection None"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_value_is_refused_where_it_is_set(name: str, value: Any, message: str) -> None:
    conf = Config(None, [])
    before = getattr(conf, name)
    with pytest.raises(ClusterError, match=message):
        setattr(conf, name, value)
    assert getattr(conf, name) == before
    option = next((word for word, option in OPTIONS.items() if option.attribute == name), "")
    if option:
        with pytest.raises(ClusterError, match=message):
            Config(None, {option: value})


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("clusterSize", "2", 2),
        ("protoFile", Path("a/s.prototxt"), "a/s.prototxt"),
        ("features", None, []),
        ("features", ("ip1", " ip2", "ip1"), ["ip1", "ip2"]),
        ("resize", "True", True),
        ("resize", None, False),
        ("isRddPersistent", 0, False),
        ("connection", 0, "none"),
        ("connection", 1, "rdma"),
        ("connection", 2, "ethernet"),
        ("connection", "TCP", "tcp"),
        ("connection", "Auto", "auto"),
    ],
)
def test_a_value_is_kept_as_it_is_meant(name: str, value: Any, kept: Any) -> None:
    conf = Config(None, [])
    setattr(conf, name, value)
    assert getattr(conf, name) == kept


def test_attributes_that_are_none() -> None:
    conf = Config(None, [])
    with pytest.raises(AttributeError, match="no option 'clusterSiz'; did you mean 'clusterSize'"):
        conf.clusterSiz = 2
    with pytest.raises(AttributeError, match="netParam cannot be set"):
        conf.netParam = None
    with pytest.raises(ClusterError, match="a list of words is expected"):
        Config(None, "-train -conf s")


def test_is_feature_and_is_test_exclude_each_other() -> None:
    conf = Config(None, {"features": "ip1"})
    conf.isTest = True
    assert (conf.isFeature, conf.features) == (False, ["ip1"])
    conf.isFeature = True
    assert (conf.isFeature, conf.isTest) == (True, False)
    assert set(ANCESTORS_ATTRIBUTES.split()) - set(SETTABLE) == {
        "log", "netParam", "solverParameter", "train_data_layer_id", "test_data_layer_id",
    }  # fmt: skip


# --- prototxts that change ---------------------------------------------------------------------


def test_a_prototxt_that_changes_is_read_again(solver: Path) -> None:
    conf = Config(None, {"conf": solver})
    first = conf.solverParameter
    assert first is conf.solverParameter
    solver.write_text(SOLVER.replace("max_iter: 10", "max_iter: 12"))
    assert conf.solverParameter.max_iter == 12
    net = solver.parent / "net.prototxt"
    net.write_text(NET.replace("batch_size: 4", "batch_size: 9"))
    assert conf.netParam.layer[0].memory_data_param.batch_size == 9
    assert first.max_iter == 10  # what was given out stays as it was


def test_a_net_that_comes_before_another_is_taken(
    solver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    conf = Config(None, {"conf": solver})
    assert conf.netParam.name == "n"
    Path("net.prototxt").write_text(NET.replace('name: "n"', 'name: "nearer"'))
    assert conf.netParam.name == "nearer"


# --- Spark -------------------------------------------------------------------------------------


class Context:
    """A SparkContext as far as a Config looks at it: --files has shipped a solver and its net."""

    def __init__(self, folder: Path) -> None:
        self._jvm = self.org = self.apache = self.spark = self.SparkFiles = self
        self.folder = str(folder / "fetched")
        self.settings = {
            "spark.files": f"file://{folder}/solver.prototxt,hdfs://x/mean#mean.binaryproto",
            "spark.yarn.dist.files": f"{folder}/net.prototxt",
        }

    def getRootDirectory(self) -> str:
        return self.folder

    def getConf(self) -> dict[str, str]:
        return self.settings


def test_files_that_were_shipped_are_found_by_their_names(
    solver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "mean.binaryproto").touch()
    monkeypatch.chdir(tmp_path / "work")
    sc = Context(tmp_path)
    assert Config(sc, {"conf": "solver.prototxt"}).netParam.name == "n"
    assert list(shipped(sc, "mean.binaryproto")) == [f"{sc.folder}/mean.binaryproto"]
    assert not list(shipped(sc, "work/solver.prototxt"))
    assert not list(shipped(sc, "other"))


def test_spark_connect_is_refused_in_one_line() -> None:
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    for use in (context_of, Config):
        with pytest.raises(ClusterError, match="Spark Connect has no barrier stages") as caught:
            use(session)
        assert "\n" not in str(caught.value)


def test_spark_connect_is_refused_under_spark_submit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before Java starts: spark-submit --remote says so in the environment."""
    monkeypatch.setenv("SPARK_REMOTE", "sc://host")
    assert submit.main(["-train", "-conf", "s", "-model", "m"]) == 1
    assert capsys.readouterr().err.startswith("minicaffe: error: Spark Connect has no barrier")
