"""Programs as the ancestor's users wrote them: its imports, its calls, Python 3."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyspark")

from com.yahoo.ml.caffe.CaffeOnSpark import CaffeOnSpark
from com.yahoo.ml.caffe.Config import Config
from com.yahoo.ml.caffe.DataSource import DataSource
from com.yahoo.ml.caffe.RegisterContext import registerContext, registerSQLContext
from minicaffe.distributed.spark.shipping.package_code import package_zip
from tests.spark_cluster import spark_context
from tests.spark_mnist import pictures, write_lenet, write_lmdbs

pytestmark = pytest.mark.xdist_group("spark")


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    import builtins

    before = dict(vars(builtins))
    with spark_context("local[2]") as sc:
        yield sc
    for name in set(vars(builtins)) - set(before):
        delattr(builtins, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    write_lmdbs(folder)
    return folder


def words_in_pairs(line: str) -> dict[str, str]:
    """A command line as a dict, as the programs make one of spark.pythonargs."""
    words = iter(line.split())
    return dict(itertools.zip_longest(words, words))


# --- the test of the ancestor's API --------------------------------------------------------------


@pytest.fixture(scope="module")
def api(sc: Any, folder: Path) -> SimpleNamespace:
    solver = write_lenet(folder, max_iter=81, test_interval=10, test_iter=2)
    line = (
        f"-conf {solver} -model file:///{folder}/lenet.model -features accuracy,ip1,ip2"
        f" -label label -output file:///{folder}/output -devices 1 -outputFormat json"
        " -clusterSize 1"
    )
    cos = CaffeOnSpark(sc)
    args = words_in_pairs(line)
    cfg = Config(sc, args)
    train_source = DataSource(sc).getSource(cfg, True)
    return SimpleNamespace(
        cos=cos, args=args, train=train_source, validation=DataSource(sc).getSource(cfg, False)
    )


def train_once(api: SimpleNamespace) -> None:
    """A model for a test that runs alone."""
    if not os.path.isfile(api.args["-model"].split(":")[1][3:]):
        api.cos.train(api.train)


@pytest.mark.slow
def test_train_then_features_then_test(api: SimpleNamespace) -> None:
    api.cos.train(api.train)
    assert os.path.isfile(api.args.get("-model").split(":")[1][3:])
    result = api.cos.features(api.validation)
    assert {"accuracy", "ip1", "ip2"} < set(result.columns)
    assert result.count() == 300
    assert result.first()["SampleID"] == "00000000"
    result = api.cos.test(api.validation)
    assert result.get("accuracy") > 0.85
    assert not result.get("accuracy") > 1
    assert result.get("loss") < 0.6
    assert result["loss"] == [pytest.approx(float(result["loss"][0]))]


def test_train_with_validation(api: SimpleNamespace) -> None:
    result = api.cos.trainWithValidation(api.train, api.validation)
    assert result.columns == ["accuracy", "loss"]
    row_count = result.count()
    assert row_count == 8
    indexed = result.rdd.zipWithIndex().filter(lambda pair: pair[1] == row_count - 1)
    last_row = indexed.collect()[0][0]
    assert last_row[0][0] > 0.8
    assert last_row[1][0] < 0.7


# --- logistic regression on features -------------------------------------------------------------


@pytest.mark.slow
def test_multi_class_logistic_regression(sc: Any, api: SimpleNamespace) -> None:
    """... by MLlib, on an RDD of the features, for which the frame has `map` as it had."""
    from pyspark.mllib.classification import LogisticRegressionWithLBFGS
    from pyspark.mllib.linalg import Vectors
    from pyspark.mllib.regression import LabeledPoint

    train_once(api)
    extracted_df = api.cos.features(api.validation)
    data = extracted_df.map(lambda row: LabeledPoint(row.label[0], Vectors.dense(row.ip1)))
    lr = LogisticRegressionWithLBFGS.train(data, numClasses=10, iterations=10)
    predictions = lr.predict(data.map(lambda point: point.features))
    labels, said = pictures("test")[1], predictions.collect()
    right = [int(label) == int(guess) for label, guess in zip(labels, said, strict=False)]
    assert sum(right) / len(right) > 0.95


def test_a_pipeline_of_spark_ml(api: SimpleNamespace) -> None:
    """The two functions of CaffeOnSpark turn features into what Spark ML takes."""
    from pyspark.ml.classification import LogisticRegression

    cos = api.cos
    train_once(api)
    frame = cos.features(api.validation)
    frame = frame.withColumn("L", cos.floatarray2doubleUDF(frame["label"]))
    frame = frame.withColumn("V", cos.floatarray2doublevectorUDF("ip2"))
    assert dict(frame.dtypes)["L"] == "double"
    lr = LogisticRegression(maxIter=5, labelCol="L", featuresCol="V")
    predicted = lr.fit(frame).transform(frame)
    assert predicted.filter(predicted.prediction == predicted.L).count() / predicted.count() > 0.9


# --- the notebook of MNIST -----------------------------------------------------------------------


def test_the_demo_of_deep_learning(sc: Any, api: SimpleNamespace, folder: Path) -> None:
    """A look at data and net, then the features with scores, in the names of a notebook."""
    pytest.importorskip("IPython")
    from com.yahoo.ml.caffe.DisplayUtils import show_df, show_network

    images, labels = pictures("test")
    rows = [(f"{i:08d}", str(labels[i]), 28, 28, bytearray(images[i].tobytes())) for i in range(9)]
    df = api.cos.sqlContext.createDataFrame(
        rows, "id string, label string, height int, width int, data binary"
    )
    table = show_df(df, 5).data
    assert table.count("<img src='data:image/png;base64,") == 5
    assert "<td>00000000</td><td>7</td>" in table
    assert (
        "<img src='data:image/png" in show_network(folder / "lenet_train_test.prototxt", "LR").data
    )
    train_once(api)

    args = {"conf": api.args["-conf"], "model": api.args["-model"], "devices": "1"}
    args["clusterSize"] = "1"
    args["features"] = "accuracy,ip1,ip2"
    args["label"] = "label"
    cfg = Config(sc, args)
    f = api.cos.features(DataSource(sc).getSource(cfg, False))
    assert f.columns == ["SampleID", "accuracy", "ip1", "ip2", "label"]

    def score_and_index(scores: list[float]) -> tuple[int, float]:
        return max(enumerate(scores), key=lambda pair: pair[1])

    g = sqlContext.createDataFrame(  # noqa: F821  (registered by CaffeOnSpark)
        f.map(lambda row: (row.SampleID, row.accuracy[0], row.ip2, score_and_index(row.ip2)[1],
                           score_and_index(row.ip2)[0], int(row.label[0]))),
        ["SampleID", "Accuracy", "Scores", "MaxScore", "Prediction", "Label"],
    )  # fmt: skip
    shown = g.toPandas()[:5]
    assert list(shown["Label"]) == [7, 2, 1, 0, 4]
    assert list(shown["Prediction"]).count(7) >= 1


# --- the notebook that defines nets --------------------------------------------------------------


def lenet(net_path: Path, folder: Path, training_batch_size: int, test_batch_size: int) -> None:
    import caffe
    from caffe import TEST, TRAIN
    from caffe import layers as L
    from caffe import params as P

    def data(phase: int, source: Path, batch_size: int) -> Any:
        return L.MemoryData(
            batch_size=batch_size, channels=1, height=28, width=28, source=str(source),
            share_in_parallel=False, source_class="com.yahoo.ml.caffe.LMDB",
            transform_param={"scale": 0.00390625}, include={"phase": phase}, ntop=2,
        )  # fmt: skip

    xavier = {"weight_filler": {"type": "xavier"}, "bias_filler": {"type": "constant"}}
    n = caffe.NetSpec()
    n.data, n.label = data(TRAIN, folder / "train", training_batch_size)
    train = str(n.to_proto())
    n.data, n.label = data(TEST, folder / "test", test_batch_size)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=8, **xavier)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=50, **xavier)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, **xavier)
    n.accuracy = L.Accuracy(n.ip2, n.label, include={"phase": 1})
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    net_path.write_text(f'name:"LeNet"\n{train}{n.to_proto()}')


def solver(solver_path: Path, net_path: Path, max_iter: int, learning_rate: float) -> None:
    from caffe.proto import caffe_pb2

    s = caffe_pb2.SolverParameter()
    s.net = str(net_path)
    s.test_interval = 500
    s.test_iter.append(1)
    s.max_iter = max_iter
    s.base_lr = learning_rate
    s.lr_policy, s.gamma, s.power = "inv", 0.0001, 0.75
    s.momentum, s.weight_decay = 0.9, 5e-4
    s.snapshot_prefix = "caffesnapshot"
    s.solver_mode = caffe_pb2.SolverParameter.CPU
    solver_path.write_text(str(s))


@pytest.mark.slow
def test_a_grid_of_nets_and_solvers_by_one_config(sc: Any, folder: Path, tmp_path: Path) -> None:
    """Each turn writes another net and solver under the same names, and trains those."""
    net_path, solver_path = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    args = {"conf": str(solver_path), "model": str(tmp_path / "lenet.model"), "clusterSize": "1"}
    cos = CaffeOnSpark(sc)
    cfg = Config(sc, args)
    test_results = []
    for batch, learning_rate in ((16, 0.01), (64, 0.01), (16, 0.0001)):
        lenet(net_path, folder, batch, batch)
        solver(solver_path, net_path, 25, learning_rate)
        training = cos.train(DataSource(sc).getSource(cfg, True))
        trained = training.plan.solver
        assert trained.base_lr == pytest.approx(learning_rate)
        assert trained.net_param.layer[0].memory_data_param.batch_size == batch
        test_result = cos.test(DataSource(sc).getSource(cfg, False))
        test_result["batch_size"] = batch
        test_result["learning_rate"] = learning_rate
        test_results.append(test_result)
    assert str(training).startswith("solver.prototxt on 1 rank, 25 iterations; the model: /")
    assert "<th>iteration</th><th>loss</th>" in training._repr_html_()
    rows = [(row["batch_size"], row["learning_rate"], row["accuracy"][0]) for row in test_results]
    t = cos.sqlContext.createDataFrame(rows, ["Batch Size", "Learning Rate", "Accuracy"])
    accuracy = list(t.toPandas()["Accuracy"])
    assert len(set(accuracy)) == 3
    assert min(accuracy[:2]) > accuracy[2]  # which hardly learns


# --- the names ---------------------------------------------------------------------------------


def test_contexts_become_names_of_every_module(sc: Any) -> None:
    import builtins

    registerContext(sc)
    registerSQLContext("the session")
    assert (builtins.sc, builtins.jvm, builtins.sqlContext) == (sc, sc._jvm, "the session")
    assert builtins.gateway is sc._gateway
    CaffeOnSpark(sc)
    assert builtins.sqlContext.range(2).count() == 2


IMPORTS = """
import com.yahoo.ml.caffe.CaffeOnSpark
from com.yahoo.ml.caffe.CaffeOnSpark import *
from com.yahoo.ml.caffe.Config import *
from com.yahoo.ml.caffe.DataSource import *
from com.yahoo.ml.caffe.DisplayUtils import *
import caffe
print(com.yahoo.ml.caffe.CaffeOnSpark.CaffeOnSpark is CaffeOnSpark, Config, DataSource, show_df)
"""


def test_the_names_travel_with_minicaffe(tmp_path: Path) -> None:
    """In the zip that executors get, whose Python has nothing else of it."""
    environment = {**os.environ, "PYTHONPATH": str(package_zip(tmp_path))}
    with contextlib.chdir(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS], env=environment, capture_output=True, text=True
        )
    assert done.stdout.startswith("True <class 'minicaffe."), done.stderr
