"""The nets that CaffeOnSpark shipped, unchanged but for the paths of their data, train."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.data.sample_key import SampleKey, write_sample_key
from minicaffe.data.sequence_writer import SequenceFileWriter
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net, read_solver
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

pytest.importorskip("cv2")

NETS = "data/prototxt/net_ext"
SOLVERS = "data/prototxt/solver"
WORDS = 8801  # of LRCN's vocabulary


def solver_of(shared: Path, net: str, source: Path, solver: str = "") -> Solver:
    """A solver for a net of the ancestor's, whose data layers read `source`."""
    param = pb.SolverParameter(base_lr=0.001, lr_policy="fixed")
    if solver:
        param = read_solver(shared / SOLVERS / solver)
        param.ClearField("net")
    param.MergeFrom(pb.SolverParameter(max_iter=2, snapshot=0, random_seed=1, display=0))
    param.solver_mode = pb.SolverParameter.CPU
    param.test_interval = 0
    param.ClearField("test_iter")
    param.ClearField("test_state")
    param.net_param.CopyFrom(read_net(shared / NETS / net))
    for layer in param.net_param.layer:
        for name in ("memory_data_param", "cos_data_param"):
            if layer.HasField(name):
                getattr(layer, name).source = str(source)
    return create_solver(param)


def loss_after(solver: Solver, steps: int, name: str = "loss") -> float:
    solver.step(steps)
    solver.close()
    return float(np.array(solver.net.blob_dict[name].data))


def write_table(path: Path, **columns: Any) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.mkdir()
    parquet.write_table(arrow.table(columns), path / "part-00000.parquet")
    return path


def test_lenet_from_a_dataframe(tmp_path: Path, shared: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (80, 28 * 28), np.uint8)
    source = write_table(
        tmp_path / "mnist",
        id=[f"{i:08d}" for i in range(80)],
        data=[picture.tobytes() for picture in pictures],
        label=[str(i % 10) for i in range(80)],
    )
    solver = solver_of(
        shared,
        "1845c299__yahoo__data_lenet_cos_train_test.prototxt",
        source,
        "49a47387__yahoo__data_lenet_cos_solver.prototxt",
    )
    assert solver.net.blob_dict["data"].shape == (64, 1, 28, 28)
    assert solver.net.blob_dict["label"].shape == (64, 1, 1, 1)
    assert 1 < loss_after(solver, 1) < 4  # about ln 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "2fba7f33__yahoo__data_bvlc_reference_net.prototxt",
        "6f412971__yahoo__test_resources_caffenet_train_net.prototxt",
    ],
)
def test_caffenet_from_sequence_files(tmp_path: Path, shared: Path, name: str) -> None:
    folder = shared / "data" / "images" / "caffeonspark"
    lines = (folder / "labels.txt").read_text().split()
    with SequenceFileWriter(tmp_path / "part-00000") as out:
        for file, label in zip(lines[::2], lines[1::2], strict=True):
            out.put(write_sample_key(SampleKey(file, label)), (folder / file).read_bytes())
    assert 0 < loss_after(solver_of(shared, name, tmp_path), 1) < 12


@pytest.mark.slow
def test_captions_from_a_dataframe(tmp_path: Path, shared: Path) -> None:
    """LRCN at its full size, CaffeNet below: 1.1 GB of memory, 1.5 GB in an iteration."""
    arrow = pytest.importorskip("pyarrow")
    files = sorted((shared / "data" / "captions" / "tiny_coco_cc" / "images").glob("*.jpg"))[:4]
    words = [[0, *range(2, 10), *[-1] * 12]] * 4
    source = write_table(
        tmp_path / "embedded",
        id=[file.stem for file in files],
        data=arrow.array(
            [
                {"image": np.frombuffer(file.read_bytes(), np.int8), "height": 0, "width": 0}
                for file in files
            ],
            arrow.struct(
                [
                    ("image", arrow.list_(arrow.int8())),
                    ("height", arrow.int32()),
                    ("width", arrow.int32()),
                ]
            ),
        ),
        label=[0] * 4,
        cont_sentence=[[0, *[1] * 8, *[-1] * 12]] * 4,
        input_sentence=words,
        target_sentence=[[*range(2, 10), 0, *[-1] * 12]] * 4,
    )
    solver = solver_of(
        shared,
        "09fc0c95__yahoo__data_lrcn_cos.prototxt",
        source,
        "5a2dcb60__yahoo__data_lrcn_solver.prototxt",
    )
    assert solver.net.blob_dict["input_sentence"].shape == (21, 1)
    assert solver.net.blob_dict["predict"].shape == (21, 1, WORDS)
    shapes = {node.layer.param.name: [blob.shape for blob in node.layer.blobs]
              for node in solver.net.nodes}  # fmt: skip
    assert shapes["fc6"][0] == (4096, 9216)
    assert shapes["embedding"] == [(WORDS, 1000)]
    assert shapes["lstm1"] == [(4000, 1000), (4000,), (4000, 1000)]
    assert shapes["lstm2"] == [(4000, 1000), (4000,), (4000, 1000), (4000, 1000)]  # third: static
    assert shapes["predict"] == [(WORDS, 1000), (WORDS,)]
    loss = loss_after(solver, 1, "cross_entropy_loss")
    assert loss == pytest.approx(np.log(WORDS), abs=0.2)  # nothing is learned yet
