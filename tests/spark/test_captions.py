"""Sentences for pictures: the search, the nets that it asks, a DataFrame of them in Spark."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")
pytest.importorskip("cv2")

from minicaffe.distributed.spark.forward_report import left_out
from minicaffe.distributed.spark.tools.beam_search import beam_search
from minicaffe.distributed.spark.tools.captioner import Captioner
from minicaffe.distributed.spark.tools.predictions import get_predictions
from minicaffe.distributed.spark.tools.vocab import Vocab
from minicaffe.errors import NetError
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights, save_weights
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from tests.spark_cluster import spark_context

pytestmark = pytest.mark.xdist_group("spark")

WORDS = 4  # of the vocabulary in the searches, the end of a sentence among them


class Language:
    """The probabilities of a word after the last two, which are the state; picture by picture."""

    def __init__(self, pictures: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(pictures, WORDS, WORDS, WORDS)) * 2
        self.logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def states(self, width: int) -> list[Any]:
        pictures = np.repeat(np.arange(len(self.logs)), width)
        return [pictures[:, np.newaxis], np.zeros((len(pictures), 1), int)]

    def step(self, words: Any, states: Any) -> Any:
        picture, last = (state[:, 0] for state in states)
        return self.logs[picture, last, words], [picture[:, np.newaxis], words[:, np.newaxis]]

    def all(self, picture: int, length: int) -> dict[tuple[int, ...], float]:
        """Every sentence that ends within a length, or is cut there: the sum of its logarithms."""
        found = {}
        for size in range(length + 1):
            for words in itertools.product(range(1, WORDS), repeat=size):
                said = [*words, 0] if size < length else list(words)
                context, total = (0, 0), 0.0
                for word in said:
                    total += self.logs[picture][context][word]
                    context = (context[1], word)
                found[words] = total
        return found


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_likeliest_sentences(seed: int) -> None:
    language, width, length = Language(3, seed), 40, 3
    found = beam_search(language.step, language.states(width), 3, width=width, length=length)
    for picture, sentences in enumerate(found):
        every = language.all(picture, length)
        assert len(every) == 40
        assert {tuple(each.words) for each in sentences} == set(every)
        for score, words in sentences:
            steps = min(len(words) + 1, length)
            assert score == pytest.approx(every[tuple(words)] / steps)
        assert [each.score for each in sentences] == sorted(
            (each.score for each in sentences), reverse=True
        )


def test_a_beam_of_one_takes_the_likeliest_word() -> None:
    language = Language(5, 7)
    found = beam_search(language.step, language.states(1), 5, length=6)
    for picture, ((_, words),) in enumerate(found):
        context, said = (0, 0), []
        for _ in range(6):
            word = int(language.logs[picture][context].argmax())
            if word == 0:
                break
            said.append(word)
            context = (context[1], word)
        assert words == said


def test_a_wider_beam_finds_what_the_greedy_way_misses() -> None:
    """Word 1 is likelier than 2, but after it nothing is likely."""
    language = Language(1, 0)
    language.logs[0] = np.log(np.full((WORDS, WORDS, WORDS), 0.25))
    language.logs[0, 0, 0] = np.log([0.01, 0.5, 0.48, 0.01])
    language.logs[0, 0, 2] = np.log([0.97, 0.01, 0.01, 0.01])
    greedy = beam_search(language.step, language.states(1), 1, length=4)
    beam = beam_search(language.step, language.states(3), 1, width=3, length=4)
    assert greedy[0][0].words[0] == 1
    assert beam[0][0].words == [2]


# --- the nets ------------------------------------------------------------------------------------

NET = """
name: "small" state { stage: "two" }
layer { name: "d" type: "CoSData" top: "data" top: "words" top: "cont" top: "target"
  cos_data_param { source: "nowhere" batch_size: 2
    top { name: "data" type: ENCODED_IMAGE channels: 3 height: 4 width: 6
          transform_param { scale: 0.01 mean_value: 100 } }
    top { name: "words" type: INT_ARRAY channels: 5 sample_num_axes: 1 transpose: true }
    top { name: "cont" type: INT_ARRAY channels: 5 sample_num_axes: 1 transpose: true }
    top { name: "target" type: INT_ARRAY channels: 5 sample_num_axes: 1 transpose: true } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "tanh" type: "TanH" bottom: "ip" top: "ip" }
layer { name: "embed" type: "Embed" bottom: "words" top: "embed"
  embed_param { num_output: 4 input_dim: 6 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "lstm1" type: "LSTM" bottom: "embed" bottom: "cont" top: "lstm1"
  recurrent_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "lstm2" type: "LSTM" bottom: "lstm1" bottom: "cont" bottom: "ip" top: "lstm2"
  recurrent_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } }
  include { stage: "two" } }
layer { name: "predict" type: "InnerProduct" bottom: "lstm2" top: "predict"
  inner_product_param { num_output: 6 axis: 2 weight_filler { type: "gaussian" std: 2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "predict" bottom: "target" top: "loss"
  softmax_param { axis: 2 } loss_param { ignore_label: -1 } }
"""


def net_of(text: str) -> pb.NetParameter:
    return parse_text(text, pb.NetParameter())


def training_net(param: pb.NetParameter, rows: int) -> Net:
    """The net, with arrays in place of its data."""
    net = pb.NetParameter()
    net.CopyFrom(param)
    shapes = {"data": (rows, 3, 4, 6)} | dict.fromkeys(("words", "cont", "target"), (5, rows))
    for name, shape in shapes.items():
        layer = net.layer.add(name=f"of {name}", type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    layers = [*net.layer[-4:], *net.layer[1:-4]]
    del net.layer[:]
    net.layer.extend(layers)
    return Net(net, pb.TRAIN)


def png(seed: int) -> bytes:
    import cv2

    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


@pytest.fixture
def model(tmp_path: Path) -> str:
    net = training_net(net_of(NET), 1)
    rng = np.random.default_rng(5)
    for layer in net.layers:
        for blob in layer.blobs:
            blob.data[...] = rng.normal(size=blob.shape)
    save_weights(net, str(tmp_path / "small.caffemodel"))
    return str(tmp_path / "small.caffemodel")


@pytest.mark.parametrize("width", [1, 3])
def test_sentences_are_as_likely_as_the_net_for_training_says(model: str, width: int) -> None:
    captioner = Captioner(net_of(NET), model, width=width)
    pictures = [captioner.picture(png(seed)) for seed in range(4)]
    said = captioner(pictures)
    assert [len(sentences) for sentences in said] == [width] * 4
    assert len({tuple(each[0].words) for each in said}) > 1
    net = training_net(net_of(NET), 1)
    load_weights(net, model)
    for picture, sentences in zip(pictures, said, strict=True):
        for score, words in sentences:
            target = [*words, 0][:5]
            pad = [-1] * (5 - len(target))
            net.blob_dict["data"].data[...] = picture
            net.blob_dict["words"].data[:, 0] = [0, *target[:-1], *(0 for _ in pad)]
            net.blob_dict["cont"].data[:, 0] = [0, 1, 1, 1, 1]
            net.blob_dict["target"].data[:, 0] = [*target, *pad]
            assert -net.forward_pass() == pytest.approx(score, rel=1e-4)
    captioner.close()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('bottom: "ip" top: "lstm2"', 'top: "lstm2"', "one static input of its LSTMs is expected"),
        ('type: "Embed"', 'type: "InnerProduct"', "has 0 Embed layers; one is expected"),
    ],
)
def test_a_net_of_another_kind(model: str, old: str, new: str, message: str) -> None:
    with pytest.raises(NetError, match=message):
        Captioner(net_of(NET.replace(old, new)), model)


# --- in Spark ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_predictions_in_spark(model: str) -> None:
    with spark_context("local[2]") as sc:
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
        files = {str(seed): png(seed) for seed in range(5)} | {"broken": b"no picture"}
        vocab = Vocab(sc)
        vocab._words = ["a", "b", "c", "d"]
        rows = [(name, bytearray(file)) for name, file in files.items()]
        frame = session.createDataFrame(rows, "id string, data binary").repartition(2)
        bad = left_out(sc)
        found = get_predictions(frame, model, net_of(NET), vocab, width=2, bad=bad)
        assert found.columns == ["id", "data", "prediction"]
        said = {row.id: row.prediction for row in found.collect()}
        arrays = session.createDataFrame(
            [(name, (0, 0, np.frombuffer(file, np.int8).tolist())) for name, file in files.items()],
            "id string, data struct<height: int, width: int, image: array<tinyint>>",
        )
        again = get_predictions(arrays, model, net_of(NET), vocab, width=2)
        assert {row.id: row.prediction for row in again.collect()} == said
        assert set(bad.value) == {"broken"} and "the picture of id broken" in bad.value["broken"]
    captioner = Captioner(net_of(NET), model, width=2)
    words = vocab.index2wordMap()
    for name, sentence in said.items():
        best = captioner([captioner.picture(files[name])])[0][0]
        assert sentence == " ".join(words[each] for each in best.words)
    captioner.close()
