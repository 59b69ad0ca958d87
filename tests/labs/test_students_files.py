"""The files of a lab's folder are what the product runs: in training, and on Spark's executors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.labs import course, folder, release

SOLVER = """
net_param {{
  layer {{ name: "x" type: "DummyData" top: "x" top: "t"
          dummy_data_param {{ shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 2 }}
                             data_filler {{ type: "gaussian" }} }} }}
  layer {{ name: "relu" type: "ReLU" bottom: "x" top: "y" }}
  layer {{ name: "ip" type: "InnerProduct" bottom: "y" top: "z"
          inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
  layer {{ name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "t" top: "loss" }} }}
base_lr: 0.1 lr_policy: "fixed" max_iter: 2 random_seed: 1 snapshot_prefix: "{prefix}"
"""


def started(name: str, place: Path, *, written: bool) -> Path:
    """The folder of a lab, as it is handed out or with everything written."""
    lab = course.load(name)
    folder.start(lab, place)
    for file in release.released(lab, stubs=()) if written else ():
        (place / file.path).write_bytes(file.content)
    return place


def run(
    cwd: Path, *words: str, path: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """A program of Python, with folders on MINICAFFE_PATH."""
    given = {"MINICAFFE_PATH": path} if path else {}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=os.environ | given | variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
    )  # fmt: skip


def test_training_runs_a_students_relu(tmp_path: Path) -> None:
    """`lab run train`: blank, the kernel says whose task it is; written, the net trains."""
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(prefix=tmp_path / "net"))
    words = ("-m", "minicaffe", "lab", "run", "train", "-solver", str(tmp_path / "solver.prototxt"))
    words += ("-device", "reference")
    blank = started("numpy", tmp_path / "blank", written=False)
    done = run(blank, *words)
    assert done.returncode, done.stdout
    assert "lab numpy, task relu: forward is yours to write" in done.stdout
    done = run(started("numpy", tmp_path / "written", written=True), *words)
    assert not done.returncode, done.stdout
    assert "from this folder: kernels/reference/relu.py (2 of 2 functions written)" in done.stdout
    assert "Optimization Done" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("written", [True, False])
def test_executors_run_a_students_job_and_ring(tmp_path: Path, written: bool) -> None:
    """job.py of the lab spark, on the ring of the lab ring; blank, an executor names the task."""
    pytest.importorskip("pyspark")
    spark = started("spark", tmp_path / "spark", written=True)
    ring = started("ring", tmp_path / "ring", written=written)
    words = ("examples/job.py", "nets/circles_solver.prototxt", "-ranks", "2")
    words += ("-device", "reference")  # nothing is compiled
    done = run(spark, *words, path=f"{spark}{os.pathsep}{ring}", SPARK_LOCAL_IP="127.0.0.1")
    if written:
        lines = [line for line in done.stdout.splitlines() if "20 iterations" in line]
        assert not done.returncode and len(lines) == 2, done.stdout
        assert len({line.partition("|w|")[2] for line in lines}) == 1
    else:
        assert done.returncode and "lab ring, task schedule: segments_of is yours" in done.stdout
