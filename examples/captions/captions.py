"""From pictures with captions to sentences: COCO's JSON -> vocabulary -> LSTM on two ranks -> HTML.

    python examples/captions/captions.py [FOLDER]

FOLDER has captions.json in COCO's form, and its pictures in images/. By default it is the small set
below MINICAFFE_SHARED (`shared` beside the checkout). What is made stands in examples/captions/out:
the pictures, smaller; the vocabulary and the data set; the model; the loss as a picture; and
captions.html, each picture with its own captions and what the net says. The exit status is 0 when
the loss has fallen below a tenth of its start.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicaffe.data.datum import resize
from minicaffe.data.image_list import read_picture
from minicaffe.errors import Error
from minicaffe.machine.java import use_java
from minicaffe.monitor.waiting import waiting
from minicaffe.proto.files import read_net

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
LOG = HERE.parent / "mnist" / "log4j2.properties"
NET = HERE / "captions_train_test.prototxt"
SOLVER = HERE / "captions_solver.prototxt"
RANKS = 2
BEAM = 3  # sentences that the beam search keeps


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    print(f"== {title}", flush=True)
    start = time.monotonic()
    yield
    print(f"   ({time.monotonic() - start:.1f} s)", flush=True)


def given_captions() -> Path:
    """The folder of the small set of captions."""
    shared = os.environ.get("MINICAFFE_SHARED") or HERE.parent.parent.parent / "shared"
    return Path(shared, "data", "captions", "tiny_coco_cc")


def shrink(folder: Path, out: Path) -> int:
    """Make the set anew with pictures of the net's size, which are quickly decoded; their count."""
    import cv2

    data = next(top for top in read_net(NET).layer[0].cos_data_param.top if top.name == "data")
    content = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    (out / "images").mkdir(parents=True, exist_ok=True)
    for image in content["images"]:
        path = folder / "images" / image["file_name"]
        picture = resize(read_picture(path, "captions.json"), data.height, data.width)
        image.update(height=data.height, width=data.width, file_name=f"{image['id']}.png")
        cv2.imwrite(str(out / "images" / image["file_name"]), picture.transpose(1, 2, 0))
    (out / "captions.json").write_text(json.dumps(content), encoding="utf-8")
    return len(content["images"])


def start_spark() -> Any:
    """A Spark session on this machine, with a slot for each rank."""
    use_java()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{RANKS}]")
        .appName("minicaffe captions")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(RANKS))
        .config(
            "spark.driver.extraJavaOptions", f"-XX:+UseSerialGC -Dlog4j2.configurationFile={LOG}"
        )
        .getOrCreate()
    )
    return session


def make_data(sc: Any, small: Path) -> Any:
    """The data set of the net, by the tool of that name; the vocabulary."""
    from minicaffe.distributed.spark import Config
    from minicaffe.distributed.spark.tools import Vocab, open_tool

    embed = next(layer for layer in read_net(NET).layer if layer.type == "Embed")
    words = (
        f"-captionFile {small}/captions.json -imageRoot {small}/images -output file:{OUT}"
        f" -vocabDir vocab -vocabSize {embed.embed_param.input_dim - 2} -embeddingDFDir train"
        f" -imageCaptionDFDir captions -outputFormat parquet -conf {SOLVER}"
    )
    open_tool("CocoDataSetConverter")(sc, Config(sc, words.split())).run()
    vocab = Vocab(sc)
    vocab.load(f"file:{OUT}/vocab")
    return vocab


def train(sc: Any) -> list[dict[str, Any]]:
    """Train on two ranks; the rows of the metrics."""
    from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

    words = f"-conf {SOLVER} -model file:{OUT}/captions.caffemodel -clusterSize {RANKS}"
    conf = Config(sc, words.split())
    training = CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    rows: list[dict[str, Any]] = training.metrics.rows
    return rows


def say(session: Any, folder: Path, vocab: Any) -> Any:
    """A row a picture: id, data, what the net says greedily and by beam search, own captions."""
    from pyspark.sql.functions import col, collect_list, first

    from minicaffe.distributed.spark.tools.conversions import Coco2ImageCaptionFile, Image2Embedding
    from minicaffe.distributed.spark.tools.predictions import get_predictions

    captions = Coco2ImageCaptionFile(session, f"file:{folder}/captions.json")
    sides = [first(side).alias(side) for side in ("height", "width")]
    own = captions.groupBy("file").agg(collect_list("caption").alias("captions"), *sides)
    pictures = Image2Embedding(f"{folder}/images", own.withColumn("id", col("file")))
    model, net = f"{OUT}/captions.caffemodel", read_net(NET)
    said = pictures.select("id", "data")
    for name, width in (("greedy", 1), ("beam", BEAM)):
        said = get_predictions(said, model, net, vocab, width=width)
        said = said.withColumnRenamed("prediction", name)
    return said.join(own.select(col("file").alias("id"), "captions"), "id").orderBy("id")


def own_words(rows: list[Any], name: str) -> float:
    """The share of a sentence's words that stand in captions of the same picture, on average."""
    from minicaffe.distributed.spark.tools.vocab import sentence2Words

    shares = []
    for row in rows:
        own = {word for caption in row.captions for word in sentence2Words(caption)}
        words = row[name].split()
        shares.append(sum(word in own for word in words) / max(len(words), 1))
    return sum(shares) / len(shares)


def draw(rows: list[dict[str, Any]]) -> Any:
    """The loss over the iterations, as a figure of matplotlib."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.semilogy([row["iteration"] for row in rows], [row["loss"] for row in rows])
    axes.set(title="Captions, two ranks", xlabel="iteration", ylabel="loss a word")
    marks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_yticks(marks, [str(mark) for mark in marks])
    axes.set_yticks([], minor=True)
    axes.grid(alpha=0.3)
    return figure


def run(folder: Path) -> bool:
    """The job; whether the loss has fallen below a tenth."""
    from minicaffe.distributed.spark.tools.df_conversions import captions_table

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with step("pictures of the net's size"):
        print(f"   {shrink(folder, OUT / 'small')} pictures")
    with step("Spark"), waiting("   Spark starts"):
        session = start_spark()
    sc = session.sparkContext
    try:
        with step("captions -> vocabulary, sentences in numbers"):
            vocab = make_data(sc, OUT / "small")
            print(f"   {len(vocab)} ids")
        with step(f"train on {RANKS} ranks"):
            rows = [row for row in train(sc) if row["phase"] == "train"]
            first, last = rows[0]["loss"], rows[-1]["loss"]
            print(f"   loss {first:.3f} -> {last:.3f}")
            draw(rows).savefig(OUT / "loss.png", dpi=120)
        with step("sentences for the pictures"):
            said = say(session, folder, vocab)
            (OUT / "captions.html").write_text(captions_table(said, 100), encoding="utf-8")
            found = said.drop("data").collect()
            for name in ("greedy", "beam"):
                share = 100 * own_words(found, name)
                print(f"   {name}: {share:.0f}% of the words stand in the picture's own captions")
            for row in found[:5]:
                print(f"   {row.id}: {row.beam}")
    finally:
        session.stop()
    return bool(last < first / 10)


def main() -> int:
    """Run from the root of the checkout, to which the prototxts' paths are relative."""
    folder = Path(sys.argv[1] if sys.argv[1:] else given_captions()).resolve()
    os.chdir(HERE.parent.parent)
    os.environ.setdefault("MPLBACKEND", "Agg")
    start = time.monotonic()
    try:
        reached = run(folder)
    except (Error, OSError) as error:
        print(f"captions: error: {error}", file=sys.stderr)
        return 1
    verdict = "has fallen" if reached else "has NOT fallen"
    print(f"== the loss {verdict} below a tenth, in {time.monotonic() - start:.0f} s")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
