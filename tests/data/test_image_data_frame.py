"""ImageDataFrame without Spark: a Parquet folder, the decode rules, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data.database import create_database
from minicaffe.data.source import open_source
from minicaffe.errors import DataError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver

pyarrow = pytest.importorskip("pyarrow")
cv2 = pytest.importorskip("cv2")

PICTURE = (np.arange(36) * 7).astype(np.uint8).reshape(3, 4, 3)  # height, width, channels
PNG = bytes(cv2.imencode(".png", PICTURE)[1])


def opened(folder: Path, rows: dict[str, list[Any]], more: str = "") -> Any:
    """The source of a Parquet folder with these columns."""
    from pyarrow import parquet

    folder.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(rows), folder / "part-00000.parquet")
    source = "" if "source:" in more else f'source: "{folder}"'
    text = (
        'name: "data" type: "MemoryData" source_class: "com.yahoo.ml.caffe.ImageDataFrame"'
        f" memory_data_param {{ {source} {more} }}"
    )
    param = parse_text(text, pb.LayerParameter())
    return open_source(param.source_class, param, pb.TEST)


def test_rows_are_samples_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = {"id": ["b", "a"], "label": ["3", "1.5"], "data": [PNG, PNG], "encoded": [True, True]}
    source = opened(tmp_path, rows, "channels: 3")
    samples = [source.read(i) for i in range(len(source))]
    assert [sample.id for sample in samples] == ["a", "b"]
    assert [float(sample.values[1]) for sample in samples] == [1.5, 3]
    assert np.array_equal(samples[0].values[0], PICTURE.transpose(2, 0, 1))


RAW = PICTURE.tobytes()
SHAPE = "channels: 3 height: 3 width: 4"
DIMS = {"channels": [3], "height": [3], "width": [4]}


@pytest.mark.parametrize(
    ("row", "more", "shape"),
    [
        ({"data": [RAW], **DIMS}, "", (3, 3, 4)),
        ({"data": [RAW]}, SHAPE, (3, 3, 4)),
        ({"data": [PNG], **DIMS}, "image_encoded: true", (3, 3, 4)),
        ({"data": [PNG], "encoded": [True]}, "channels: 1", (1, 3, 4)),
        ({"data": [PNG]}, "image_encoded: true", (3, 3, 4)),
        ({"data": [RAW], **DIMS}, "height: 6 width: 8 resize: true", (3, 6, 8)),
        ({"data": [[float(v) for v in PICTURE.transpose(2, 0, 1).ravel()]]}, SHAPE, (3, 3, 4)),
        ({"data": [[0.5, 1.5]]}, "", (2, 1, 1)),
        ({"data": ["abcdefghijkl"]}, "channels: 1 height: 3 width: 4", (1, 3, 4)),
    ],
)
def test_how_bytes_become_pictures(
    row: dict[str, list[Any]], more: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    picture = opened(tmp_path, {"label": [7], **row}, more).read(0).values[0]
    assert picture.shape == shape
    if shape == (3, 3, 4):
        assert np.array_equal(picture, PICTURE.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"label": ["cat"], "data": [RAW]}, "its label must be a number, not 'cat'"),
        ({"label": pyarrow.array([None], "string"), "data": [RAW]}, "it has no label"),
        ({"label": [1], "data": pyarrow.array([None], "binary")}, "it has no data"),
        ({"label": [1], "data": [[1, 2]]}, "2 numbers for a picture of 3 x 3 x 4"),
        ({"label": [1], "data": [True]}, "its data must be bytes, text or numbers, not bool"),
        ({"label": [1], "data": [b"123"]}, "3 bytes for a picture of 3 x 3 x 4"),
        ({"label": [1], "data": [RAW], "encoded": [True]}, "cannot be decoded"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = opened(tmp_path, {"id": ["x"], **row}, "channels: 3 height: 3 width: 4")
    with pytest.raises(DataError, match=f"sample x of {tmp_path}: .*{words}"):
        source.read(0)


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = {"sampleId": ["b", "a"], "class no": [1, 2], "png": [PNG, PNG]}
    select = "".join(
        f' dataframe_column_select: "{word}"'
        for word in ("sampleId AS id", "`class no` label", "png as data")
    )
    source = opened(tmp_path, rows, f"image_encoded: true {select}")
    assert [source.read(i).id for i in range(2)] == ["a", "b"]
    assert source.read(0).values[1] == 2


@pytest.mark.parametrize(
    ("columns", "more", "words"),
    [
        ({"label": [1]}, "", r"has no column 'data' \(it has: label\)"),
        ({"label": [1]}, 'dataframe_column_select: "x as data"', "has no column 'x'"),
        (
            {"label": [1], "data": [RAW]},
            'dataframe_column_select: "label + 1 as label"',
            "'label . 1 as label' is computed by Spark, in a Spark job",
        ),
        ({"label": [1]}, 'dataframe_format: "json"', "dataframe_format json is read by Spark"),
        ({"label": [1]}, 'source: ""', "memory_data_param.source must be given"),
        ({"label": [1]}, 'source: "/no/such/place"', "no Parquet files here"),
    ],
)
def test_what_cannot_be_read_is_refused(
    columns: dict[str, list[Any]], more: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, columns, more)


def test_the_weights_of_an_lmdb(tmp_path: Path) -> None:
    pictures = [bytes([i % 7, 3 * i % 256] * 18) for i in range(30)]
    with create_database(tmp_path / "lmdb") as out:
        for i, picture in enumerate(pictures):
            datum = pb.Datum(channels=1, height=6, width=6, label=i % 2, data=picture)
            out.put(f"{i:08d}".encode(), datum.SerializeToString())
    rows: dict[str, list[Any]] = {"id": [f"{i:08d}" for i in reversed(range(30))]}
    rows |= {"label": [i % 2 for i in reversed(range(30))], "data": pictures[::-1]}
    opened(tmp_path / "frame", rows)
    weights = []
    for kind, name in (("LMDB", "lmdb"), ("ImageDataFrame", "frame")):
        net = f"""
            layer {{ name: "m" type: "MemoryData" top: "x" top: "label" source_class: "{kind}"
                     memory_data_param {{ source: "{tmp_path}/{name}" batch_size: 4
                                          channels: 1 height: 6 width: 6 }}
                     transform_param {{ crop_size: 5 mirror: true scale: 0.01 }} }}
            layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
                     inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
            layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }}"""
        solver = pb.SolverParameter(max_iter=20, base_lr=0.1, lr_policy="fixed", random_seed=1)
        solver.net_param.CopyFrom(parse_text(net, pb.NetParameter()))
        with context.fresh("reference"):
            trained = create_solver(solver)
            trained.step(20)
            weights.append(trained.net.flat_params.data.read("cpu").tobytes())
            trained.close()
    assert weights[0] == weights[1]
