"""CoSData: what a DataFrame's columns become, and which of their values are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data.source import open_source
from minicaffe.errors import DataError, LayerError
from minicaffe.net.batch_axis import batch_axes
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
cv2 = pytest.importorskip("cv2")

ROWS = 5
IMAGE_WITH_DIM = pa.struct(
    [("image", pa.list_(pa.int8())), ("height", pa.int32()), ("width", pa.int32())]
)


def pixels(i: int, height: int = 4, width: int = 6) -> np.ndarray:
    """A colour picture as OpenCV has it."""
    size = height * width * 3
    return (np.arange(size) * 5 + 40 * i).astype(np.uint8).reshape(height, width, 3)


def png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])


def write(path: Path, **columns: Any) -> Path:
    """A Parquet folder with these columns, and ids that run against the order of the rows."""
    count = len(next(iter(columns.values())))
    ids = [f"{count - 1 - i:08d}" for i in range(count)]
    path.mkdir(exist_ok=True)
    parquet.write_table(pa.table({"id": ids, **columns}), path / "part-00000.parquet")
    return path


def cos_data(path: Path, columns: list[str], batch: int = ROWS, more: str = "") -> str:
    names = [column.split('"')[1] for column in columns]
    tops = " ".join(f'top: "{name}"' for name in names)
    inner = " ".join(f"top {{ {column} }}" for column in columns)
    return (
        f'layer {{ name: "rows" type: "CoSData" {tops}'
        f' cos_data_param {{ source: "{path}" batch_size: {batch} {more} {inner} }} }}'
    )


def net_of(text: str, phase: int = pb.TEST) -> Net:
    return Net(parse_text(text, pb.NetParameter()), phase, device="reference")


def batch_of(text: str, phase: int = pb.TEST) -> dict[str, np.ndarray]:
    """The tops of the first batch."""
    net = net_of(text, phase)
    try:
        net.forward_pass()
        return {name: np.array(blob.data) for name, blob in net.blob_dict.items()}
    finally:
        net.close()


def one(path: Path, column: str, **columns: Any) -> np.ndarray:
    """What a single top has of the column x."""
    text = cos_data(write(path, **columns), [f'name: "x" {column}'])
    return batch_of(text)["x"][::-1]  # in the order in which the rows were written


COUNT = list(range(ROWS))


@pytest.mark.parametrize("kind", ["STRING", "INT", "FLOAT"])
@pytest.mark.parametrize("values", [COUNT, [f"{i}" for i in COUNT], [float(i) for i in COUNT]])
def test_a_number_of_any_kind_of_column(tmp_path: Path, kind: str, values: list[Any]) -> None:
    column = f"type: {kind} channels: 1 height: 1 width: 1"
    assert one(tmp_path / "a", column, x=values).shape == (ROWS, 1, 1, 1)
    for axes in range(4):
        found = one(tmp_path / "a", f"type: {kind} sample_num_axes: {axes}", x=values)
        assert found.shape == (ROWS, *[1] * axes)
        assert found.ravel().tolist() == COUNT


def test_a_label_need_not_be_whole(tmp_path: Path) -> None:
    for kind in ("STRING", "FLOAT"):
        found = one(tmp_path / "a", f"type: {kind}", x=["0.5", "-1e3", "2", "3", "4"])
        assert found.ravel().tolist() == [0.5, -1000, 2, 3, 4]


@pytest.mark.parametrize("kind", ["INT_ARRAY", "FLOAT_ARRAY"])
@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ("channels: 6 sample_num_axes: 1", (6,)),
        ("channels: 2 height: 3 sample_num_axes: 2", (2, 3)),
        ("channels: 3 height: 2 width: 1", (3, 2, 1)),
    ],
)
def test_arrays_in_one_to_three_axes(
    tmp_path: Path, kind: str, sizes: str, shape: tuple[int, ...]
) -> None:
    values = np.arange(ROWS * 6).reshape(ROWS, 6)
    nested = values.reshape(ROWS, 2, 3).tolist()
    for lists in (values.tolist(), values.astype(float).tolist(), nested):
        found = one(tmp_path / "a", f"type: {kind} {sizes}", x=lists)
        assert np.array_equal(found, values.reshape(ROWS, *shape))


def test_images_of_three_kinds_are_the_same(tmp_path: Path) -> None:
    pictures = [pixels(i) for i in COUNT]
    expected = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
    structs = [
        {"image": np.frombuffer(png(picture), np.int8), "height": 4, "width": 6}
        for picture in pictures
    ]
    for kind, column in (
        ("ENCODED_IMAGE", [png(picture) for picture in pictures]),
        ("RAW_IMAGE", [picture.tobytes() for picture in pictures]),
        ("RAW_IMAGE", pa.array([p.view(np.int8).ravel() for p in pictures], pa.list_(pa.int8()))),
        ("ENCODED_IMAGE_WITH_DIM", pa.array(structs, IMAGE_WITH_DIM)),
    ):
        sizes = "channels: 3 height: 4 width: 6"
        found = one(tmp_path / "a", f"type: {kind} {sizes}", x=column)
        assert np.array_equal(found, expected)
        if kind != "RAW_IMAGE":  # of a file, the sizes may be left out
            assert np.array_equal(one(tmp_path / "a", f"type: {kind}", x=column), expected)
            grey = one(tmp_path / "a", f"type: {kind} channels: 1", x=column)
            assert grey.shape == (ROWS, 1, 4, 6)


def test_images_of_many_sizes_with_and_without_resize(tmp_path: Path) -> None:
    sizes = [(4, 6), (9, 14), (31, 8), (4, 20), (5, 5)]
    path = write(tmp_path / "a", x=[png(pixels(i, *sizes[i])) for i in COUNT])
    column = 'name: "x" type: ENCODED_IMAGE channels: 3 height: 7 width: 5'
    assert batch_of(cos_data(path, [column], more="resize: true"))["x"].shape == (ROWS, 3, 7, 5)
    cut = f"{column} out_height: 4 out_width: 4 transform_param {{ crop_size: 4 }}"
    assert batch_of(cos_data(path, [cut]))["x"].shape == (ROWS, 3, 4, 4)
    with pytest.raises(LayerError, match=r"\(3, 7, 5\), row 00000000 gives \(3, 5, 5\)"):
        net_of(cos_data(path, [column]))


def test_each_top_has_a_transformation_of_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a",
        left=[png(pixels(i)) for i in COUNT],
        right=[png(pixels(i)) for i in COUNT],
        map=np.arange(ROWS * 12, dtype=float).reshape(ROWS, 12).tolist(),
    )
    columns = [
        'name: "left" type: ENCODED_IMAGE transform_param { crop_size: 3 mirror: true }',
        'name: "right" type: ENCODED_IMAGE transform_param { scale: 0.5 mean_value: 10 }',
        'name: "map" type: FLOAT_ARRAY channels: 1 height: 3 width: 4 transform_param { scale: 2 }',
    ]
    text = cos_data(path, columns)
    tops = batch_of(text)
    assert tops["left"].shape == (ROWS, 3, 3, 3)
    assert np.array_equal(tops["right"][0], (pixels(4).transpose(2, 0, 1) - np.float32(10)) / 2)
    assert np.array_equal(tops["map"][4].ravel(), np.arange(12) * 2)
    with context.fresh() as here:
        here.data_seed = 5
        first = batch_of(text, pb.TRAIN)
    with context.fresh() as here:
        here.data_seed = 5
        assert all(np.array_equal(first[name], top) for name, top in
                   batch_of(text, pb.TRAIN).items())  # fmt: skip


def test_time_first(tmp_path: Path) -> None:
    words = np.arange(ROWS * 4).reshape(ROWS, 4)
    path = write(tmp_path / "a", words=words.tolist(), label=COUNT)
    columns = [
        'name: "words" type: INT_ARRAY channels: 4 sample_num_axes: 1 transpose: true',
        'name: "label" type: INT sample_num_axes: 0',
    ]
    net = net_of(cos_data(path, columns, batch=2) + EMBED)
    assert net.blob_dict["words"].shape == (4, 2)
    seen = []
    for _ in range(3):
        net.forward_pass()
        seen.append((np.array(net.blob_dict["words"].data), np.array(net.blob_dict["label"].data)))
    for found, label in seen:
        assert np.array_equal(found, words[label.astype(int)].T)
    layer: Any = net.layers[0]
    layer.load([1])  # a last batch that is not full
    net.forward_pass()
    assert np.array_equal(np.array(net.blob_dict["words"].data), words[[3]].T)
    net.close()


EMBED = """
layer { name: "embed" type: "Embed" bottom: "words" top: "embed"
  embed_param { input_dim: 20 num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Reduction" bottom: "label" top: "sum" }
"""


def test_the_axis_of_the_samples_is_known_of_every_blob(tmp_path: Path) -> None:
    path = write(tmp_path / "a", words=[[1, 2, 3, 4]] * ROWS, label=COUNT)
    columns = [
        'name: "words" type: INT_ARRAY channels: 4 sample_num_axes: 1 transpose: true',
        'name: "label" type: INT sample_num_axes: 1',
    ]
    net = net_of(cos_data(path, columns) + EMBED)
    axes = batch_axes(net)
    net.close()
    assert {name: axes[name] for name in ("words", "embed", "label", "sum")} == {
        "words": 1, "embed": 1, "label": 0, "sum": 0,
    }  # fmt: skip


BAD = [
    ('type: INT', ["1", None, "3"], "there is no value"),
    ('type: STRING', ["1", "cat", "3"], "the value must be a number, not 'cat'"),
    ('type: INT', [1.0, 2.5, 3.0], "a whole number is expected, not 2.5"),
    ('type: FLOAT', [[1.0], [2.0], [3.0]], "a number is expected, not an array"),
    ('type: INT_ARRAY channels: 2 sample_num_axes: 1', [[1, 2], [1], [1, 2]],
     "1 numbers, the top has 2 for a sample"),
    ('type: INT_ARRAY channels: 2 sample_num_axes: 1', [[1, 2], [1, None], [1, 2]],
     "one of its numbers is none"),
    ('type: INT_ARRAY channels: 1 sample_num_axes: 1', [["1"], ["b"], ["c"]],
     "an array of numbers is expected, not an array"),
    ('type: ENCODED_IMAGE', [png(pixels(0)), b"no image", png(pixels(0))], "cannot be decoded"),
    ('type: ENCODED_IMAGE', ["a", "b", "c"], "bytes are expected, not text"),
    ('type: RAW_IMAGE channels: 3 height: 4 width: 6', [pixels(0).tobytes(), b"123", b"1"],
     "3 bytes for a picture of 3 x 4 x 6"),
    ('type: ENCODED_IMAGE_WITH_DIM',
     pa.array([{"image": np.frombuffer(png(pixels(0)), np.int8), "height": 4, "width": size}
               for size in (6, 7, 6)], IMAGE_WITH_DIM), r"of \(4, 7\) is \(4, 6\)"),
    ('type: ENCODED_IMAGE_WITH_DIM', [b"1", b"2", b"3"], "a struct of image, height and width"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "values", "message"), BAD)
def test_a_bad_value_drops_its_row_and_is_named(
    tmp_path: Path, column: str, values: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """... with row, column, top and layer; the columns beside it never slip by one."""
    path = write(tmp_path / "a", x=values, label=[10, 11, 12])
    columns = [f'name: "x" {column}', 'name: "label" type: INT sample_num_axes: 0']
    param = parse_text(cos_data(path, columns, 3), pb.NetParameter()).layer[0]
    param.top[0] = "blob"
    with open_source("DataFrameSource", param, pb.TEST) as source:
        where = rf"row 00000001 of {path}, column 'x' for top 'blob': "
        with pytest.raises(DataError, match=f"^{where}.*({message})"):
            source.read(1)
    good = isinstance(values, pa.Array) or message.startswith(("there", "1 numbers"))
    if good:
        net = net_of(cos_data(path, columns, 3))
        net.forward_pass()
        assert np.array(net.blob_dict["label"].data).tolist() == [12, 10]
        assert len(np.array(net.blob_dict["x"].data)) == 2
        layer: Any = net.layers[0]
        assert layer.batches.bad[1].startswith("row 00000001 of ")
        assert "layer 'rows': skipped sample number 1: row 00000001 of" in caplog.text
        net.close()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (['name: "y" type: INT'], "column 'y' .*it has: x, id|has no column 'y'"),
        (['name: "x" type: INT sample_num_axes: 4'], "sample_num_axes 4; 0 to 3 are known"),
        (['name: "x" type: INT_ARRAY transpose: true'], "transpose needs sample_num_axes 1"),
        (['name: "x" type: INT channels: 10'], "a number has no more than 1 channel"),
        (['name: "x" type: RAW_IMAGE sample_num_axes: 2'], "an image has sample_num_axes 3"),
        (['name: "x" type: INT sample_num_axes: 1 transform_param { }'], "not fit its transform"),
        (['name: "" type: INT'], "must have a name"),
    ],
)
def test_what_a_prototxt_cannot_ask_for(tmp_path: Path, columns: list[str], message: str) -> None:
    path = write(tmp_path / "a", x=COUNT)
    with pytest.raises((LayerError, DataError), match=message):
        net_of(cos_data(path, columns))


def test_how_many_tops_and_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a", x=COUNT)
    text = cos_data(path, ['name: "x" type: INT'])
    with pytest.raises(LayerError, match="has 2 tops, and cos_data_param 1"):
        net_of(text.replace('top: "x"', 'top: "x" top: "y"', 1))
    with pytest.raises(LayerError, match="batch_size must be given"):
        net_of(cos_data(path, ['name: "x" type: INT'], batch=0))
    with pytest.raises(LayerError, match="resize needs height and width"):
        net_of(cos_data(path, ['name: "x" type: ENCODED_IMAGE'], more="resize: true"))
    with pytest.raises(DataError, match="source must be given"):
        net_of(text.replace(str(path), ""))
