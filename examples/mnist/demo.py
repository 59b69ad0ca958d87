"""The whole job on real data: MNIST -> LMDB -> LeNet on two ranks in Spark -> features -> Spark ML.

`make demo` runs it. What it makes stands in examples/mnist/out: the model, the course of the
training as a table, a picture of the loss and one of the first layer's filters. The exit status is
0 when both accuracies reach GOAL.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicaffe.cli.convert.mnist import convert_mnist
from minicaffe.errors import Error
from minicaffe.machine.java import use_java
from minicaffe.monitor.waiting import waiting
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import (
    blob_from_proto,
    read_net,
    read_net_binary,
    read_solver,
    write_text,
)

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
LOG = HERE / "log4j2.properties"
RANKS = 2
GOAL = 0.989
FILES = {  # database -> images and labels
    "mnist_train_lmdb": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "mnist_test_lmdb": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    print(f"== {title}", flush=True)
    start = time.monotonic()
    yield
    print(f"   ({time.monotonic() - start:.1f} s)", flush=True)


def make_databases() -> None:
    """Convert what is not converted yet."""
    for name, (images, labels) in FILES.items():
        if (HERE / name).exists():
            print(f"   {name} is there")
        else:
            with waiting(f"   {name}"):
                count = convert_mnist(HERE / images, HERE / labels, HERE / name)
            print(f"   {name}: {count} records")


def start_spark() -> Any:
    """A Spark session on this machine, with a slot for each rank."""
    java = use_java()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with waiting("   Spark starts"):
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master(f"local[{RANKS}]")
            .appName("minicaffe demo")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config(
                "spark.driver.extraJavaOptions",
                f"-XX:+UseSerialGC -Dlog4j2.configurationFile={LOG}"
                " -Ddev.ludovic.netlib.blas.allowNative=false",  # which warns where there is none
            )
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
    print(f"   Spark {session.version} on Java {java.version} ({java.source})")
    return session


def configure(sc: Any, solver: Path) -> Any:
    """CaffeOnSpark's settings for the solver: two ranks, features ip1."""
    from minicaffe.distributed.spark import Config

    model = OUT / "lenet.caffemodel"
    words = f"-conf {solver} -model file:{model} -features ip1 -label label"
    return Config(sc, f"{words} -devices 1 -connection ethernet -clusterSize {RANKS}".split())


def solver_on_training_images(solver: Path) -> Path:
    """The same solver, whose net gets the training images in its TEST phase too."""
    param = read_solver(solver)
    net = read_net(param.net)
    train, test = (
        next(layer for layer in net.layer if layer.include and layer.include[0].phase == phase)
        for phase in (pb.TRAIN, pb.TEST)
    )
    test.memory_data_param.source = train.memory_data_param.source
    param.net = str(OUT / "train_features.prototxt")
    write_text(param.net, net)
    write_text(OUT / "train_features_solver.prototxt", param)
    return OUT / "train_features_solver.prototxt"


def classify(train: Any, test: Any) -> float:
    """Spark ML's logistic regression on the features of one set: its accuracy on the other."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql.functions import avg, col

    def rows(features: Any) -> Any:
        digit = col("label")[0].cast("double")
        return features.select(array_to_vector("ip1").alias("features"), digit.alias("label"))

    model = LogisticRegression(maxIter=15, regParam=1e-3, standardization=False).fit(
        rows(train).cache()
    )
    right = (col("prediction") == col("label")).cast("double")
    return float(model.transform(rows(test)).select(avg(right)).first()[0])


def draw(rows: list[dict[str, Any]]) -> None:
    """Two pictures: the loss over the iterations, and the 20 filters of conv1."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [(row["iteration"], row["loss"]) for row in rows if row["phase"] == "train"]
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.semilogy(*zip(*shown, strict=True))
    axes.set(title="LeNet on MNIST, two ranks", xlabel="iteration", ylabel="loss")
    axes.grid(alpha=0.3)
    figure.savefig(OUT / "loss.png", dpi=120)

    net = read_net_binary(OUT / "lenet.caffemodel")
    conv1 = next(layer for layer in net.layer if layer.name == "conv1")
    figure, grid = pyplot.subplots(4, 5, figsize=(5, 4.4), layout="constrained")
    for axes, image in zip(grid.flat, blob_from_proto(conv1.blobs[0])[:, 0], strict=True):
        axes.imshow(image, cmap="gray")
        axes.set_axis_off()
    figure.suptitle("The filters of conv1")
    figure.savefig(OUT / "filters.png", dpi=120)
    print(f"   {OUT / 'loss.png'}\n   {OUT / 'filters.png'}")


def run() -> bool:
    """The job; whether both accuracies reach the goal."""
    OUT.mkdir(exist_ok=True)
    solver = HERE / "lenet_demo_solver.prototxt"
    with step("MNIST -> LMDB"):
        make_databases()
    with step("Spark"):
        session = start_spark()
    from minicaffe.distributed.spark import CaffeOnSpark, DataSource

    sc = session.sparkContext
    try:
        conf, cos = configure(sc, solver), CaffeOnSpark(sc)
        with step(f"train LeNet on {RANKS} ranks"):
            training = cos.train(DataSource.getSource(conf, True))
        with step("test"):
            accuracy = cos.test(DataSource.getSource(conf, False))["accuracy"][0]
            print(f"   accuracy on the 10,000 test images: {accuracy:.4f}")
        with step("features ip1 -> logistic regression"):
            test = cos.features(DataSource.getSource(conf, False))
            conf = configure(sc, solver_on_training_images(solver))
            train = cos.features(DataSource.getSource(conf, False))
            with waiting("   Spark ML fits a logistic regression"):
                score = classify(train, test)
            print(f"   accuracy of logistic regression on ip1: {score:.4f}")
        with step("pictures"), waiting("   matplotlib draws"):
            draw(training.metrics.rows)
    finally:
        with waiting("   Spark stops"):
            session.stop()
    return min(accuracy, score) >= GOAL


def main() -> int:
    """Run from the root of the checkout, to which the prototxts' paths are relative."""
    os.chdir(HERE.parent.parent)
    start = time.monotonic()
    try:
        reached = run()
    except Error as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    verdict = "both reach" if reached else "NOT both reach"
    print(f"== {verdict} {GOAL}, in {time.monotonic() - start:.0f} s")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
