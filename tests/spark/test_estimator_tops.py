"""CaffeEstimator with a CoSData layer: a column a top, time-major ones among them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.ml import CaffeEstimator, CaffeModel
from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb

pytestmark = pytest.mark.xdist_group("spark")

# Says the words of a sentence back; what a picture shows decides between two ways to do so.
NET = """
name: "sentences"
layer {
  name: "sentences" type: "CoSData" top: "data" top: "words" top: "cont" top: "target"
  source_class: "com.yahoo.ml.caffe.DataFrameSource"
  cos_data_param {
    source: "SOURCE" batch_size: 6
    top { name: "data" type: RAW_IMAGE channels: 1 height: 2 width: 2
          transform_param { scale: 0.01 mean_value: 100 } }
    top { name: "words" type: INT_ARRAY channels: 4 sample_num_axes: 1 transpose: true }
    top { name: "cont" type: INT_ARRAY channels: 4 sample_num_axes: 1 transpose: true }
    top { name: "target" type: INT_ARRAY channels: 4 sample_num_axes: 1 transpose: true }
  }
}
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "embed" type: "Embed" bottom: "words" top: "embed"
        embed_param { input_dim: 5 num_output: 6
                      weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "lstm" type: "LSTM" bottom: "embed" bottom: "cont" bottom: "ip" top: "lstm"
        recurrent_param { num_output: 8 weight_filler { type: "uniform" min: -0.3 max: 0.3 } } }
layer { name: "predict" type: "InnerProduct" bottom: "lstm" top: "predict"
        inner_product_param { num_output: 5 axis: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "predict" bottom: "target" top: "loss"
        softmax_param { axis: 2 } loss_param { ignore_label: -1 } }
"""
SOLVER = 'base_lr: 0.02 type: "Adam" lr_policy: "fixed" random_seed: 3 max_iter: 150 display: 50\n'
TIME, WORDS = 4, 5


@pytest.fixture(scope="module")
def frame(spark: Any) -> Any:
    """40 sentences, out of order."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        words = rng.integers(1, WORDS, TIME).tolist()
        bright = number % 2
        said = [word % (WORDS - 1) + 1 for word in words] if bright else words
        picture = bytearray(rng.integers(0, 60, 4, np.uint8) + 150 * bright)
        rows.append((f"{number:03d}", picture, words, [0, 1, 1, 1], said))
    schema = "id string, data binary, words array<int>, cont array<int>, target array<int>"
    return spark.createDataFrame(rows[::-1], schema).repartition(3)


@pytest.fixture(scope="module")
def solver(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(f'{SOLVER} net: "{folder}/net.prototxt"')
    return str(folder / "solver.prototxt")


@pytest.fixture(scope="module")
def model(frame: Any, solver: str) -> CaffeModel:
    return CaffeEstimator(solver=solver).fit(frame)


def weights_of(content: bytes) -> list[bytes]:
    net = pb.NetParameter.FromString(content)
    return [np.array(blob.data, "f4").tobytes() for layer in net.layer for blob in layer.blobs]


def scores_of(rows: list[Any], name: str = "predict") -> np.ndarray:
    return np.array([row[name] for row in rows], np.float32)


def test_fit_and_transform_are_training_and_features(
    spark: Any, frame: Any, solver: str, model: CaffeModel, tmp_path: Path
) -> None:
    frame.write.parquet(str(tmp_path / "rows"))
    net = Path(solver).with_name("own.prototxt")
    net.write_text(NET.replace("SOURCE", f"file:{tmp_path}/rows"))
    own = tmp_path / "solver.prototxt"
    own.write_text(f'{SOLVER} net: "{net}"')
    conf = Config(spark, {"conf": own, "model": tmp_path / "m", "store": tmp_path / "store",
                          "features": "predict,ip"})  # fmt: skip
    there = CaffeOnSpark(spark)
    there.train(DataSource.getSource(conf, True))
    assert weights_of(model.weights_bytes) == weights_of((tmp_path / "m").read_bytes())
    expected = there.features(DataSource.getSource(conf, False)).orderBy("SampleID").collect()
    asked = model.copy().setParams(featuresCols=["predict", "ip"], batchSize=7)
    rows = asked.transform(frame.drop("target")).orderBy("id").collect()  # no loss: no target
    assert [row.id for row in rows] == [row.SampleID for row in expected]
    assert scores_of(rows, "ip").tolist() == scores_of(expected, "ip").tolist()
    np.testing.assert_allclose(scores_of(rows), scores_of(expected), rtol=1e-5, atol=1e-6)


def test_a_sentence_has_its_own_words(frame: Any, model: CaffeModel) -> None:
    """Time is the first axis of a row's values: (T, words)."""
    rows = model.transform(frame).collect()
    assert [row.id for row in rows] == [row.id for row in frame.collect()]
    said = scores_of(rows).reshape(len(rows), TIME, WORDS).argmax(2)
    assert np.mean(said == np.array([row.target for row in rows])) > 0.95
    assert model.metrics.rows[-1]["loss"] < 0.2


def test_columns_of_other_names_and_rows_that_cannot_be_read(
    frame: Any, solver: str, model: CaffeModel, tmp_path: Path
) -> None:
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions

    named = frame.select(
        "id", frame.data.alias("picture"), array_to_vector("words").alias("said"), "cont", "target"
    )
    net = CaffeEstimator(solver=solver, topCols={"data": "picture", "words": "said"})
    fitted = Pipeline(stages=[net]).fit(named)
    fitted.save(str(tmp_path / "model"))
    again = PipelineModel.load(str(tmp_path / "model"))
    assert again.stages[0].weights_bytes == fitted.stages[0].weights_bytes
    assert weights_of(again.stages[0].weights_bytes) == weights_of(model.weights_bytes)
    bad = functions.when(named.id != "039", named.picture)  # the first row of a partition
    short = functions.when(named.id == "011", functions.lit(b"no")).otherwise(bad)
    rows = again.transform(named.withColumn("picture", short).coalesce(1)).collect()
    expected = model.transform(frame.coalesce(1)).collect()
    for row, right in zip(rows, expected, strict=True):
        if row.id in ("039", "011"):
            assert row.predict is None
        else:
            np.testing.assert_allclose(row.predict, right.predict, rtol=1e-5, atol=1e-6)


def solver_with(old: str, new: str) -> str:
    """The text of a solver with another net in it."""
    return f"{SOLVER} net_param {{ {NET.replace(old, new)} }}"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"topCols": {"words": "sentence"}}, "there is no column 'sentence'"),
        ({"topCols": {"wrods": "words"}}, "layer 'sentences' has no top 'wrods'; did you mean"),
        ({"inputCols": ["words"]}, "inputCols is not for layer 'sentences' .* topCols"),
        ({"labelCol": "target"}, "labelCol is not for layer 'sentences'"),
        ({"encoded": True}, "encoded is not for layer 'sentences'"),
        ({"solver": solver_with("cont", "id")}, "no top may be called 'id'"),
        ({"solver": solver_with('top: "cont"', "")}, "as tops the 4 of cos_data_param are"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    params: dict[str, Any], words: str, frame: Any, solver: str
) -> None:
    with pytest.raises(ClusterError, match=words):
        CaffeEstimator(**{"solver": solver} | params).fit(frame)


def test_columns_by_top_are_a_dict() -> None:
    with pytest.raises(TypeError, match="a dict of columns by top is expected"):
        CaffeEstimator(topCols=["words"])
