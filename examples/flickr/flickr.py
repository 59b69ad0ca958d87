"""Tags for photographs in one Spark program: deep features, a classifier on them, scores.

    python examples/flickr/flickr.py [FOLDER]

FOLDER is laid out as README.md says; by default it is what MINICAFFE_SHARED names (`shared` beside
the checkout). Four steps, as of a photo site: pictures with tags become a DataFrame; a trained net
says the features of each; Spark ML learns the tags from them; and all pictures, old and new ones,
get their likeliest tags with scores. What is made stands in examples/flickr/out, tags.html among
it. The exit status is 0 when GOAL of the pictures that were held back get their own tag first.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.cli.convert.cifar import CHANNELS, SIDE, read_batch
from minicaffe.errors import Error
from minicaffe.machine.java import use_java
from minicaffe.monitor.waiting import waiting
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.blob_proto import array_to_blob_proto, blob_from_proto
from minicaffe.proto.files import (
    read_binary,
    read_net,
    read_net_binary,
    write_binary,
    write_text,
)

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
LOG = HERE.parent / "mnist" / "log4j2.properties"
SLOTS = 2
KNOWN, HELD_BACK = 2000, 500  # pictures with tags to learn from, and to look how well
FEATURES = "pool3"  # 64 x 4 x 4 values
GOAL = 0.7
TAGS = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NEW = ("cat.jpg", "caffeonspark/cat1.jpg", "caffeonspark/cat2.jpg", "caffeonspark/dog1.jpg",
       "caffeonspark/dog2.jpg")  # fmt: skip


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    print(f"== {title}", flush=True)
    start = time.monotonic()
    yield
    print(f"   ({time.monotonic() - start:.1f} s)", flush=True)


def given_data() -> Path:
    """The folder with pictures and models."""
    return Path(os.environ.get("MINICAFFE_SHARED") or HERE.parent.parent.parent / "shared")


def collect(shared: Path) -> dict[str, Path]:
    """Pictures as files, and a list of each set: `file label id`, a line a picture."""
    import cv2

    lists: dict[str, list[str]] = {"known": [], "held_back": [], "new": []}
    records = read_batch(shared / "data" / "cifar10" / "test_batch.bin")[: KNOWN + HELD_BACK]
    for number, (label, *pixels) in enumerate(records.tolist()):
        name = "known" if number < KNOWN else "held_back"
        folder = OUT / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.array(pixels, np.uint8).reshape(CHANNELS, SIDE, SIDE)
        cv2.imwrite(str(folder / f"{number}.png"), picture[::-1].transpose(1, 2, 0))
        lists[name].append(f"{name}/{number}.png {label} {number:05d}")
    (OUT / "pictures" / "new").mkdir()
    for path in NEW:
        shutil.copy(shared / "data" / "images" / path, OUT / "pictures" / "new")
        lists["new"].append(f"new/{Path(path).name} 0 {Path(path).name}")
    paths = {name: OUT / f"{name}.txt" for name in lists}
    for name, lines in lists.items():
        paths[name].write_text("\n".join(lines), encoding="utf-8")
    return paths


def prepare_net(shared: Path) -> pb.NetParameter:
    """The trained net up to its features, whose data are DataFrames of pictures, blue first.

    It was trained on pictures with red first: its first filters and the mean are turned.
    """
    models = shared / "data" / "models" / "cifar10"
    weights = read_net_binary(models / "cifar10_full_iter_70000.caffemodel")
    filters = next(layer for layer in weights.layer if layer.name == "conv1").blobs[0]
    filters.CopyFrom(array_to_blob_proto(blob_from_proto(filters)[:, ::-1]))
    write_binary(OUT / "features.caffemodel", weights)
    mean = blob_from_proto(read_binary(models / "mean.binaryproto", pb.BlobProto()))
    write_binary(OUT / "mean.binaryproto", array_to_blob_proto(mean[:, ::-1]))
    trained = read_net(models / "cifar10_full_train_test.prototxt")
    net = pb.NetParameter(name="features")
    data = net.layer.add(name="data", type="MemoryData", top=["data", "label"])
    data.source_class = "com.yahoo.ml.caffe.ImageDataFrame"
    data.transform_param.mean_file = str(OUT / "mean.binaryproto")
    memory = data.memory_data_param
    memory.batch_size, memory.channels, memory.height, memory.width = 100, CHANNELS, SIDE, SIDE
    memory.image_encoded = True
    memory.dataframe_column_select.extend(["SampleID AS id", "string(label) AS label", "data"])
    names = [layer.name for layer in trained.layer]
    first, last = names.index("conv1"), names.index(FEATURES)
    net.layer.extend(trained.layer[first : last + 1])
    return net


def start_spark() -> Any:
    """A Spark session on this machine."""
    use_java()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master(f"local[{SLOTS}]")
        .appName("minicaffe flickr")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", str(SLOTS))
        .config("spark.driver.extraJavaOptions",
                f"-XX:+UseSerialGC -Dlog4j2.configurationFile={LOG}"
                " -Ddev.ludovic.netlib.blas.allowNative=false")
        .getOrCreate()
    )  # fmt: skip


def make_frame(sc: Any, name: str, listed: Path) -> None:
    """Step 1: the pictures of a list as a DataFrame, by the tool of that name."""
    from minicaffe.distributed.spark import Config
    from minicaffe.distributed.spark.tools import open_tool

    words = f"-imageRoot {OUT}/pictures -labelFile {listed} -output {OUT}/{name}"
    open_tool("Binary2DataFrame")(sc, Config(sc, f"{words} -outputFormat parquet".split())).run()


def features(sc: Any, name: str, net: pb.NetParameter) -> Any:
    """Step 2: the features of a DataFrame's pictures: SampleID, pool3, label."""
    from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

    net.layer[0].memory_data_param.source = f"file:{OUT}/{name}"
    write_text(OUT / f"{name}_net.prototxt", net)
    solver = pb.SolverParameter(net=str(OUT / f"{name}_net.prototxt"))
    solver.solver_mode = pb.SolverParameter.CPU
    write_text(OUT / f"{name}_solver.prototxt", solver)
    words = f"-conf {OUT}/{name}_solver.prototxt -model {OUT}/features.caffemodel -resize"
    conf = Config(sc, f"{words} -features {FEATURES} -label label".split())
    return CaffeOnSpark(sc).features(DataSource.getSource(conf, False))


def learn(known: Any) -> Any:
    """Step 3: a classifier of tags on the features, by Spark ML."""
    from pyspark.ml.classification import LogisticRegression

    return LogisticRegression(maxIter=30, regParam=0.05).fit(rows(known).cache())


def rows(frame: Any) -> Any:
    """What Spark ML reads: SampleID, features, label."""
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql.functions import col

    return frame.select(
        "SampleID",
        array_to_vector(FEATURES).alias("features"),
        col("label")[0].cast("double").alias("label"),
    )


def tag(model: Any, frame: Any, most: int = 3) -> Any:
    """Step 4: SampleID, label, tags: the likeliest ones, array<struct<tag, score>>, best first."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as sql

    names = sql.array(*map(sql.lit, TAGS))
    scored = sql.arrays_zip(vector_to_array("probability").alias("score"), names.alias("tag"))
    best = sql.slice(sql.sort_array(scored, asc=False), 1, most)
    tags = sql.transform(
        best, lambda each: sql.struct(each["tag"].alias("tag"), each["score"].alias("score"))
    )
    return model.transform(rows(frame)).select("SampleID", "label", tags.alias("tags"))


def with_pictures(session: Any, name: str, tagged: Any) -> Any:
    """What a table shows of pictures with tags: id, data, tags as texts."""
    from pyspark.sql.functions import col, expr

    texts = expr("transform(tags, each -> format_string('%s %.2f', each.tag, each.score))")
    pictures = session.read.parquet(str(OUT / name)).select("SampleID", "data")
    joined = tagged.join(pictures, "SampleID").orderBy("SampleID")
    return joined.select(col("SampleID").alias("id"), "data", texts.alias("tags"))


def run(shared: Path) -> bool:
    """The job; whether enough pictures get their own tag first."""
    from minicaffe.distributed.spark.tools.df_conversions import captions_table

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with step("pictures and a trained net"):
        lists, net = collect(shared), prepare_net(shared)
    with step("Spark"), waiting("   Spark starts"):
        session = start_spark()
    sc = session.sparkContext
    try:
        with step("1. pictures -> DataFrames"):
            for name, listed in lists.items():
                make_frame(sc, name, listed)
        with step(f"2. features {FEATURES} of the net"):
            frames = {name: features(sc, name, net) for name in lists}
        with step("3. a classifier of tags"), waiting("   Spark ML fits a logistic regression"):
            model = learn(frames["known"])
        with step("4. tags for all pictures"):
            found = {name: tag(model, frame) for name, frame in frames.items()}
            for name, frame in found.items():
                frame.write.parquet(str(OUT / "tags" / name))
            held_back = found["held_back"].collect()
            right = [TAGS[int(row.label)] == row.tags[0].tag for row in held_back]
            share = sum(right) / len(right)
            print(f"   {100 * share:.0f}% of {len(right)} held back get their own tag first")
            for row in found["new"].orderBy("SampleID").collect():
                print(f"   {row.SampleID}: {', '.join(f'{t.tag} {t.score:.2f}' for t in row.tags)}")
            tables = [
                captions_table(with_pictures(session, name, found[name]), 20)
                for name in ("new", "held_back")
            ]
            (OUT / "tags.html").write_text("\n".join(tables), encoding="utf-8")
    finally:
        session.stop()
    return share >= GOAL


def main() -> int:
    """Run from anywhere; what is made stands beside this file."""
    start = time.monotonic()
    try:
        reached = run(Path(sys.argv[1] if sys.argv[1:] else given_data()).resolve())
    except (Error, OSError) as error:
        print(f"flickr: error: {error}", file=sys.stderr)
        return 1
    print(f"== {'reached' if reached else 'NOT reached'}: {GOAL}, {time.monotonic() - start:.0f} s")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
