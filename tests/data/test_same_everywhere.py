"""The same pictures from an LMDB, SequenceFiles, an ImageDataFrame and CoSData: the same bits."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data.sample_key import SampleKey, write_sample_key
from minicaffe.data.sequence_writer import SequenceFileWriter
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from tests.spark_cluster import SmallSet

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

TRANSFORM = "transform_param { scale: 0.00390625 crop_size: 5 mirror: true }"


def memory_data(source_class: str, source: str) -> str:
    return (
        f'type: "MemoryData" source_class: "com.yahoo.ml.caffe.{source_class}"'
        f' memory_data_param {{ source: "{source}" batch_size: 8 }} {TRANSFORM}'
    )


DATA = {
    "lmdb": memory_data("LMDB", "train"),
    "sequence": memory_data("SeqImageDataSource", "sequence"),
    "blocks": memory_data("SeqImageDataSource", "blocks"),
    "frame": memory_data("ImageDataFrame", "frame"),
    "cos": f"""type: "CoSData" source_class: "com.yahoo.ml.caffe.DataFrameSource"
        cos_data_param {{ source: "frame" batch_size: 8
          top {{ name: "data" type: RAW_IMAGE channels: 1 height: 6 width: 6 {TRANSFORM} }}
          top {{ name: "label" type: STRING sample_num_axes: 0 }} }}""",
}
NET = """
layer {{ name: "data" top: "data" top: "label" {data} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


def write_everywhere(small: SmallSet) -> None:
    """The 50 pictures of `train` in all forms, in another order each."""
    records = [
        (SampleKey(f"{i:08d}", str(i % 4), 1, 6, 6, False), picture.tobytes())
        for i, picture in enumerate(small.pictures["train"])
    ]
    for folder, how in (("sequence", "NONE"), ("blocks", "BLOCK")):
        (small.folder / folder).mkdir()
        for part in range(3):
            with SequenceFileWriter(small.folder / folder / f"part-{part:05d}", how) as out:
                for key, value in records[2 - part :: 3]:
                    out.put(write_sample_key(key), value)
    (small.folder / "frame").mkdir()
    for part in range(2):
        keys, values = zip(*records[::-1][part::2], strict=True)
        columns = {name: [getattr(key, name) for key in keys] for name in SampleKey._fields}
        table = arrow.table(columns | {"data": list(values)})
        parquet.write_table(table, small.folder / "frame" / f"part-{part:05d}.parquet")


def test_the_same_batches_and_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_everywhere(SmallSet(tmp_path))
    monkeypatch.chdir(tmp_path)
    first: dict[str, list[np.ndarray]] = {}
    weights: dict[str, str] = {}
    for name, data in DATA.items():
        param = pb.SolverParameter(base_lr=0.1, momentum=0.9, lr_policy="fixed", random_seed=3)
        parse_text(NET.format(data=data), param.net_param)
        with context.fresh("reference") as here:
            here.data_seed = 3
            solver = create_solver(param)
            solver.step(1)
            first[name] = [np.array(solver.net.blob_dict[top].data) for top in ("data", "label")]
            solver.step(20)  # into the fourth epoch
            solver.close()
            flat = np.array(solver.net.flat_params.data.read("cpu"))
            weights[name] = hashlib.sha256(flat.tobytes()).hexdigest()
    assert np.abs(first["lmdb"][0]).max() > 0.1
    for name in DATA:
        for found, expected in zip(first[name], first["lmdb"], strict=True):
            assert np.array_equal(found, expected), name
    assert set(weights.values()) == {weights["lmdb"]}
