"""CaffeEstimator and CaffeModel: fit, transform, save and load, among Spark ML's own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.ml import CaffeEstimator, CaffeModel
from minicaffe.errors import ClusterError, ParseError
from minicaffe.proto import minicaffe_pb2 as pb
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.xdist_group("spark")

SCHEMA = "id string, label int, data binary"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallSet:
    return SmallSet(tmp_path_factory.mktemp("small"))


def frame_of(spark: Any, small: SmallSet, name: str = "train", parts: int = 3) -> Any:
    """The pictures of a set as rows, from the last to the first."""
    rows = [
        (f"{i:08d}", i % 4, bytearray(picture.tobytes()))
        for i, picture in enumerate(small.pictures[name])
    ]
    return spark.createDataFrame(rows[::-1], SCHEMA).repartition(parts)


def estimator(small: SmallSet, **params: Any) -> CaffeEstimator:
    solver = params.pop("solver", None) or small.solver(max_iter=12)
    shape = "channels: 1 height: 6 width: 6"
    path = small.folder / "solver_net.prototxt"
    text = path.read_text()
    if shape not in text:
        path.write_text(text.replace("batch_size", f"{shape} batch_size"))
    return CaffeEstimator(solver=solver, **params)


@pytest.fixture(scope="module")
def model(spark: Any, small: SmallSet) -> CaffeModel:
    return estimator(small).fit(frame_of(spark, small))


def weights_of(content: bytes) -> list[bytes]:
    net = pb.NetParameter.FromString(content)
    return [np.array(blob.data, "f4").tobytes() for layer in net.layer for blob in layer.blobs]


def values_of(frame: Any, column: str) -> np.ndarray:
    return np.array([row[column] for row in frame.select(column).collect()], np.float32)


def test_fit_and_transform_are_training_and_features(
    spark: Any, small: SmallSet, model: CaffeModel
) -> None:
    estimator(small)
    conf = Config(spark, {"conf": str(small.folder / "solver.prototxt"), "features": "ip2",
                          "model": str(small.folder / "m.caffemodel")})  # fmt: skip
    lmdb = CaffeOnSpark(spark)
    lmdb.train(DataSource.getSource(conf, True))
    content = (small.folder / "m.caffemodel").read_bytes()
    assert weights_of(model.weights_bytes) == weights_of(content)
    features = lmdb.features(DataSource.getSource(conf, False))
    test = frame_of(spark, small, "test").drop("label")
    found = model.transform(test)
    assert found.columns == ["id", "data", "ip2"]
    assert found.select("id", "data").collect() == test.collect()  # all rows, in their order
    assert values_of(found.orderBy("id"), "ip2").tolist() == values_of(features, "ip2").tolist()
    assert model.metrics.rows[-1]["iteration"] == 11


def test_what_transform_adds(spark: Any, small: SmallSet, model: CaffeModel) -> None:
    from pyspark.ml.linalg import DenseVector
    from pyspark.sql import functions

    test = frame_of(spark, small, "test", 1).withColumn("more", functions.array("label"))
    bad = test.withColumn("data", functions.when(test.id == "00000003", functions.lit(b"short"))
                          .when(test.id != "00000005", test.data))  # fmt: skip
    given = {"featuresCols": ["ip2", "ip1"], "outputCols": ["scores", "hidden"]}
    both = model.copy().setParams(**given, vectorCols=["scores"], predictionCol="class")
    rows = both.setParams(batchSize=4).transform(bad).collect()
    assert [row.id for row in rows] == [f"{i:08d}" for i in range(20, -1, -1)]
    for row in rows:
        if row.id in ("00000003", "00000005"):
            assert (row.hidden, row.scores) == (None, None)
        else:
            assert isinstance(row.scores, DenseVector)
            assert len(row.hidden) == 12
            assert row["class"] == np.argmax(row.scores.toArray())
    assert np.mean([row["class"] == row.label for row in rows]) > 0.6
    accuracy = model.copy().setParams(featuresCols=["accuracy"]).transform(test)
    assert set(values_of(accuracy, "accuracy").ravel()) <= {i / 8 for i in range(9)} | {
        np.float32(i / 5) for i in range(6)
    }


def test_nothing_is_computed_before_it_is_asked_for(
    spark: Any, small: SmallSet, model: CaffeModel
) -> None:
    from pyspark.sql import functions

    test = frame_of(spark, small, "test")
    never = test.withColumn("data", functions.assert_true(test.label < 0, "asked").cast("binary"))
    found = model.transform(never.repartition(2))
    with pytest.raises(Exception, match="asked"):
        found.collect()


def test_a_saved_model_is_the_model(spark: Any, small: SmallSet, model: CaffeModel) -> None:
    path = str(small.folder / "saved")
    model.copy().setParams(outputCols=["scores"]).save(f"file:{path}")
    with pytest.raises(Exception, match="already exists"):
        model.save(path)
    loaded = CaffeModel.load(path)
    assert loaded.weights_bytes == model.weights_bytes
    assert loaded.uid == model.uid
    assert sorted(p.name for p in Path(path).iterdir() if not p.name.startswith(".")) == [
        "metadata", "net.prototxt", "weights.caffemodel",
    ]  # fmt: skip
    test = frame_of(spark, small, "test")
    expected = values_of(model.transform(test), "ip2").tolist()
    assert values_of(loaded.transform(test), "scores").tolist() == expected
    trained = estimator(small, ranks=2, epochs=1.5)
    trained.write().overwrite().save(path)
    again = CaffeEstimator.load(path)
    assert again.extractParamMap() == trained.extractParamMap()


@pytest.mark.slow
def test_data_of_any_kind(spark: Any, small: SmallSet, model: CaffeModel) -> None:
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions

    rows = [
        (i, [float(v) for v in picture.ravel()], [[int(v) for v in row] for row in picture],
         ("", 6, 6, 1, 0, bytearray(picture.tobytes())))
        for i, picture in enumerate(small.pictures["test"])
    ]  # fmt: skip
    frame = spark.createDataFrame(
        rows,
        """label int, array array<double>, rows array<array<int>>,
        image struct<origin string, height int, width int, nChannels int, mode int, data binary>""",
    )
    frame = frame.withColumn("vector", array_to_vector("array")).coalesce(1)
    for number in range(36):
        frame = frame.withColumn(f"n{number}", functions.col("array")[number])
    found = [
        values_of(model.copy().setParams(inputCols=columns).transform(frame), "ip2").tolist()
        for columns in (
            ["array"], ["rows"], ["image"], ["vector"], [f"n{number}" for number in range(36)],
        )
    ]  # fmt: skip
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"labelCol": "kind"}, r"there is no column 'kind' \(there are: id, label, data\)"),
        ({"inputCols": ["id", "label"]}, "column 'id' is string: bytes, an image, a vector"),
        ({"solver": "no.prototxt"}, "no solver prototxt no.prototxt"),
        ({"solver": "base_lr: 0.1 net_param { layer { type: 'Input' name: 'x' top: 'x' } }"},
         "the net has no layer of type MemoryData, Data or CoSData in phase TRAIN"),
        ({"device": "abacus"}, "abacus"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_one_line(
    params: dict[str, Any], words: str, spark: Any, small: SmallSet
) -> None:
    with pytest.raises(Exception, match=words) as error:
        estimator(small, **params).fit(frame_of(spark, small))
    assert "\n" not in str(error.value)


def test_what_cannot_be_transformed_is_one_line(
    spark: Any, small: SmallSet, model: CaffeModel
) -> None:
    test = frame_of(spark, small, "test")
    for params, words in (
        ({"featuresCols": ["ip3"]}, "the net has no blob 'ip3'"),
        ({"outputCols": ["a", "b"]}, "2 outputCols for 1 featuresCols"),
        ({"outputCols": ["label"]}, "there is a column 'label' already"),
        ({"inputCols": ["pixels"]}, "there is no column 'pixels'"),
    ):
        with pytest.raises(ClusterError, match=words):
            model.copy().setParams(**params).transform(test)
    with pytest.raises(ClusterError, match="there is no column 'label'"):
        model.copy().setParams(featuresCols=["accuracy"]).transform(test.drop("label"))
    with pytest.raises(ParseError, match="solver.prototxt:1"):
        CaffeEstimator(solver="base_lr 0.1")


@pytest.mark.slow
def test_the_page_runs(
    spark: Any, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (checkout / "docs" / "estimator.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    code = code.replace("points.model", f"{tmp_path}/points.model")  # Java has its own folder
    exec(compile(code, "estimator.md", "exec"), {"spark": spark})
    percent = re.search(r"(\d+)% of the points", capsys.readouterr().out)
    assert percent is not None
    assert int(percent[1]) > 85


@pytest.mark.slow
def test_a_store_is_kept_where_the_user_wants_it(
    spark: Any, small: SmallSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = frame_of(spark, small)
    net = estimator(small, store=str(tmp_path))
    first = net.fit(frame.repartition(5)).weights_bytes  # in another order: there are ids
    assert weights_of(net.fit(frame).weights_bytes) == weights_of(first)
    told = capsys.readouterr().err
    assert told.count("is written, 50 rows") == told.count("is used as it is, 50 rows") == 1
    other = frame.where("label < 3")
    assert net.fit(other).weights_bytes != first
    assert "is written, 38 rows" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool")  # Spark's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_cross_validation_with_two_at_once(spark: Any, small: SmallSet) -> None:
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    net = estimator(small, predictionCol="prediction", epochs=6.0, seed=3)
    grid = ParamGridBuilder().addGrid(net.baseLr, [1e-6, 0.1]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
    cross = CrossValidator(
        estimator=net,
        estimatorParamMaps=grid,
        evaluator=evaluator,
        numFolds=2,
        parallelism=2,
        seed=1,
    )
    found = cross.fit(frame_of(spark, small))
    assert found.avgMetrics[1] > max(0.7, found.avgMetrics[0])
    assert evaluator.evaluate(found.transform(frame_of(spark, small, "test"))) > 0.8


@pytest.mark.slow
def test_in_every_batch_of_a_stream_and_in_another_session(
    spark: Any, small: SmallSet, model: CaffeModel, tmp_path: Path
) -> None:
    test = frame_of(spark, small, "test").orderBy("id")
    expected = values_of(model.transform(test), "ip2").tolist()
    test.write.parquet(str(tmp_path / "in"))
    seen: list[Any] = []

    def each(batch: Any, number: int) -> None:
        fitted = estimator(small, maxIter=2).fit(batch)
        seen.append((model.transform(batch).orderBy("id").select("ip2").collect(), fitted))

    stream = spark.readStream.schema(SCHEMA).parquet(str(tmp_path / "in"))
    stream.writeStream.foreachBatch(each).trigger(availableNow=True).start().awaitTermination(100)
    rows, fitted = seen[0]
    assert [row.ip2 for row in rows] == expected
    assert fitted.metrics.rows[-1]["iteration"] == 1
    other = spark.newSession()
    rows = other.read.parquet(str(tmp_path / "in")).orderBy("id")
    assert values_of(model.transform(rows), "ip2").tolist() == expected
    assert estimator(small, maxIter=2).fit(rows).weights_bytes
