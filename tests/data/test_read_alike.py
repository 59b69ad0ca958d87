"""Samples of a database that are read together are those that are read one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.data.batches import Batch, Batches
from minicaffe.data.database import create_database
from minicaffe.data.datum import alike
from minicaffe.data.draws import HashedDraws
from minicaffe.data.source import DataSource, Order, open_source
from minicaffe.data.transformer import DataTransformer
from minicaffe.proto import minicaffe_pb2 as pb

ALIKE = 12
SHAPE = (3, 5, 4)


def datum(number: int, shape: tuple[int, int, int] = SHAPE, **fields: Any) -> bytes:
    """A picture whose bytes may be taken for what stands before them: 60 is their number."""
    channels, height, width = shape
    size = channels * height * width
    pixels = (
        bytes([60]) * size if number % 3 == 0 else bytes((number + i) % 256 for i in range(size))
    )
    given = {"channels": channels, "height": height, "width": width, "data": pixels}
    return pb.Datum(**{**given, "label": number % 10, **fields}).SerializeToString()


def database(path: Path, values: list[bytes], backend: str = "lmdb") -> pb.LayerParameter:
    """A layer's parameters for a new database of these records."""
    with create_database(path, backend) as out:
        for number, value in enumerate(values):
            out.put(b"%05d" % number, value)
    param = pb.LayerParameter(name="data")
    param.memory_data_param.source = str(path)
    return param


def batch_of(source: DataSource, transform: pb.TransformationParameter) -> Batch:
    """All samples of a source, the second time: by then the shapes are known."""
    order = Order(len(source), len(source), shuffle=False)
    transformer = DataTransformer(transform, pb.TRAIN)
    batches = Batches(source, order, [transformer, None], HashedDraws(3), depth=1)
    batches.next()
    batch = batches.next()
    return Batch(batch.ids, [top.copy() for top in batch.tops])


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("text", [
    "", "scale: 0.00390625", "mean_value: 7 scale: 0.5", "crop_size: 3", "mirror: true",
    "mean_value: 1 mean_value: 2 mean_value: 3",
    "crop_size: 2 mirror: true mean_value: 9 scale: 0.1",
])  # fmt: skip
def test_batches_hold_the_same_bits(
    tmp_path: Path, text: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.protobuf import text_format

    transform = text_format.Parse(text, pb.TransformationParameter())
    param = database(tmp_path / "db", [datum(i) for i in range(ALIKE)], backend)
    kind = {"lmdb": "LMDB", "leveldb": "LevelDB"}[backend]
    with open_source(kind, param, pb.TRAIN) as source:
        together = batch_of(source, transform)
        monkeypatch.setattr(type(source), "read_alike", lambda self, indices: None)
        alone = batch_of(source, transform)
        source.close()
    assert together.ids == alone.ids == [f"{i:05d}" for i in range(ALIKE)]
    for left, right in zip(together.tops, alone.tops, strict=True):
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes()


@pytest.mark.parametrize("change", [
    {"label": 0}, {"label": 200}, {"label": -1}, {"label": 2**31 - 1}, {"encoded": False},
])  # fmt: skip
def test_labels_of_any_size_are_alike(change: dict[str, Any]) -> None:
    values = [datum(i) for i in range(5)] + [datum(5, **change)]
    found = alike(values, len(values))
    assert found is not None
    pictures, labels = found
    assert labels.tolist() == [0, 1, 2, 3, 4, np.float32(change.get("label", 5))]
    for value, picture in zip(values, pictures, strict=True):
        assert picture.tobytes() == pb.Datum.FromString(value).data


DIFFERENT: dict[str, Callable[[bytes], bytes]] = {
    "another shape": lambda _: datum(3, (3, 4, 5)),
    "another size": lambda _: datum(3, (3, 5, 5)),
    "encoded": lambda _: datum(3, encoded=True),
    "floats": lambda _: datum(3, data=b"", float_data=[1.0] * 60),
    "floats besides": lambda _: datum(3, float_data=[1.0]),
    "data twice": lambda value: value + pb.Datum(data=b"x" * 60).SerializeToString(),
    "no Datum": lambda _: b"\xff" * 70,
    "cut short": lambda value: value[:40],
    "cut at the label": lambda value: value[:-1],
    "no data": lambda _: pb.Datum(channels=3, height=5, width=4, label=3).SerializeToString(),
    "empty": lambda _: b"",
    "unknown field": lambda value: value + b"\x78\x01",
    "label first": lambda value: pb.Datum(label=3).SerializeToString() + datum(3)[:-2],
}  # fmt: skip


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_is_looked_at_one_by_one(name: str, place: int) -> None:
    values = [datum(i) for i in range(5)]
    values[place] = DIFFERENT[name](values[place])
    assert alike(values, len(values)) is None


def test_a_damaged_record_is_named_as_ever(tmp_path: Path) -> None:
    values = [datum(i) for i in range(ALIKE)]
    values[7] = values[7][:30]
    param = database(tmp_path / "db", values)
    with open_source("LMDB", param, pb.TRAIN) as source:
        assert source.read_alike([1, 2]) is not None
        assert source.read_alike([6, 7, 8]) is None
        batch = batch_of(source, pb.TransformationParameter())
        source.close()
    assert batch.ids == [f"{i:05d}" for i in range(ALIKE) if i != 7]


def test_a_batch_of_another_shape_than_the_last_is_read_too(tmp_path: Path) -> None:
    values = [datum(i) for i in range(4)] + [datum(i, (1, 2, 2)) for i in range(4)]
    with open_source("LMDB", database(tmp_path / "db", values), pb.TEST) as source:
        transformer = DataTransformer(pb.TransformationParameter(), pb.TEST)
        order = Order(8, 4, shuffle=False)
        batches = Batches(source, order, [transformer, None], HashedDraws(0))
        shapes = [batches.next().tops[0].shape for _ in range(4)]
        batches.close()
    assert shapes == [(4, *SHAPE), (4, 1, 2, 2)] * 2
