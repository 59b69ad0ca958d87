"""A model of 600 MB through a Spark with its default memory, and with room for small results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from minicaffe.proto import minicaffe_pb2 as pb
from tests.conftest import CHECKOUT
from tests.spark_cluster import SETTINGS, SmallSet

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.slow, pytest.mark.timeout(600)]

SIZE = 600 << 20


def submit(small: SmallSet, *args: str) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in SETTINGS.items() if "Java" in name}
    settings |= {"spark.driver.maxResultSize": "100k", "spark.ui.enabled": "false"}
    from pyspark.find_spark_home import _find_spark_home

    line = [
        os.path.join(_find_spark_home(), "bin", "spark-submit"), "--master", "local[1]",
        *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
        str(CHECKOUT / "minicaffe_submit.py"), *args,
    ]  # fmt: skip
    environment = {
        **os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(CHECKOUT),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }  # fmt: skip
    return subprocess.run(
        line, env=environment, cwd=small.folder, capture_output=True, text=True, check=False
    )


def test_a_model_of_600_mb_is_trained_and_trained_on(tmp_path: Path) -> None:
    small = SmallSet(tmp_path)
    wide = SIZE // 4 // (36 + 4)
    solver = small.solver(batch=2, max_iter=1)
    net = small.folder / "solver_net.prototxt"
    net.write_text(net.read_text().replace("num_output: 12", f"num_output: {wide}"))
    model, again = tmp_path / "m.caffemodel", tmp_path / "n.caffemodel"
    for args in (("-model", str(model)), ("-model", str(again), "-weights", str(model))):
        done = submit(small, "-train", "-conf", solver, *args)
        assert done.returncode == 0, done.stdout + done.stderr
    for path in (model, again):
        assert path.stat().st_size > SIZE
        names = [layer.name for layer in pb.NetParameter.FromString(path.read_bytes()).layer]
        assert "ip2" in names
