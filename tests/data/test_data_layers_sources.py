"""The layers Data and MemoryData: what they give, to whom, and what they refuse."""

import gc
import os
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.database import create_database
from minicaffe.errors import DataError, Error, LayerError
from minicaffe.layer import create_layer
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text


def pixels(i: int, shape: tuple[int, int, int]) -> np.ndarray:
    return ((np.arange(np.prod(shape)) * 7 + 11 * i) % 256).astype(np.uint8).reshape(shape)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Ten pictures of 3 x 6 x 5; the label of number i is i."""
    path = tmp_path / "db"
    with create_database(path) as out:
        for i in range(10):
            datum = pb.Datum(channels=3, height=6, width=5, label=i)
            datum.data = pixels(i, (3, 6, 5)).tobytes()
            out.put(f"{i:08d}".encode(), datum.SerializeToString())
    return path


class Running:
    """A data layer with its tops, set up."""

    def __init__(self, text: str, phase: int = pb.TRAIN) -> None:
        param = pb.LayerParameter()
        parse_text(text, param)
        self.layer: Any = create_layer(param, "cpu", phase)
        self.tops = [Blob() for _ in param.top]
        self.layer.check_counts([], self.tops)
        self.layer.setup([], self.tops)
        self.layer.reshape([], self.tops)

    def forward(self) -> list[np.ndarray]:
        self.layer.reshape([], self.tops)
        self.layer.forward([], self.tops)
        return [np.array(top.data) for top in self.tops]

    def labels(self) -> list[int]:
        return [int(label) for label in self.forward()[1].ravel()]


def data(path: Path, batch: int, more: str = "", transform: str = "") -> str:
    return (
        'name: "d" type: "Data" top: "data" top: "label"'
        f" transform_param {{ {transform} }}"
        f' data_param {{ source: "{path}" batch_size: {batch} backend: LMDB {more} }}'
    )


def memory(path: Path, batch: int, more: str = "", transform: str = "") -> str:
    return (
        'name: "m" type: "MemoryData" top: "data" top: "label" source_class: "LMDB"'
        f" transform_param {{ {transform} }}"
        f' memory_data_param {{ source: "{path}" batch_size: {batch} {more} }}'
    )


def on_rank(rank: int, ranks: int, seed: int | None = 5) -> None:
    here = context.current()
    here.solver_rank, here.solver_count, here.data_seed = rank, ranks, seed


# --- Data --------------------------------------------------------------------------------------


def test_data_reads_in_key_order_and_wraps(database: Path) -> None:
    running = Running(data(database, 4))
    assert [top.shape for top in running.tops] == [(4, 3, 6, 5), (4,)]
    assert [running.labels() for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert np.array_equal(running.forward()[0][0], pixels(2, (3, 6, 5)))
    running.layer.close()


@pytest.mark.parametrize("phase", [pb.TRAIN, pb.TEST])
def test_record_i_is_for_rank_i_modulo_ranks_in_training(database: Path, phase: int) -> None:
    seen = []
    for rank in range(3):
        on_rank(rank, 3)
        running = Running(data(database, 2), phase)
        seen.append([*running.labels(), *running.labels()])
        running.layer.close()
    if phase == pb.TRAIN:
        assert seen == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]]
    else:
        assert seen == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("transform", ["", "mirror: true", "mirror: true crop_size: 3"])
def test_seek_gives_the_same_batches_as_reading_on(database: Path, transform: str) -> None:
    context.set_random_seed(3)
    running = Running(data(database, 3, transform=transform))
    straight = [running.forward()[0] for _ in range(8)]
    for k in (5, 6, 0, 7, 2):
        running.layer.seek(k)
        assert np.array_equal(running.forward()[0], straight[k])
    running.layer.close()


def test_the_label_is_optional(database: Path) -> None:
    running = Running(data(database, 2).replace('top: "label"', ""))
    assert [values.shape for values in running.forward()] == [(2, 3, 6, 5)]
    running.layer.close()


def test_a_layer_draws_from_the_main_stream_as_caffe_does(database: Path) -> None:
    for transform, draws in (("", 1), ("crop_size: 3", 3), ("mirror: true", 3)):
        context.set_random_seed(3)
        stream = context.current().rng.draws(8)
        context.set_random_seed(3)
        Running(data(database, 2, transform=transform)).layer.close()
        assert context.current().rng.draw() == stream[draws]


def test_pictures_of_different_sizes_need_a_crop_or_batches_of_one(tmp_path: Path) -> None:
    with create_database(tmp_path / "db") as out:
        for i, side in enumerate((4, 6, 5)):
            datum = pb.Datum(channels=1, height=side, width=side, data=bytes(side * side), label=i)
            out.put(f"{i}".encode(), datum.SerializeToString())
    one = Running(data(tmp_path / "db", 1))
    assert [one.forward()[0].shape[-1] for _ in range(4)] == [4, 6, 5, 4]
    cropped = Running(data(tmp_path / "db", 3, transform="crop_size: 3"))
    assert cropped.forward()[0].shape == (3, 1, 3, 3)
    with pytest.raises(DataError, match=r"sample 1 has shape \(1, 6, 6\).*\(1, 4, 4\)"):
        Running(data(tmp_path / "db", 3)).forward()
    for running in (one, cropped):
        running.layer.close()


def test_closing_ends_the_thread(database: Path) -> None:
    before = threading.active_count()
    running = Running(data(database, 2))
    running.forward()
    assert threading.active_count() == before + 1
    running.layer.close()
    running.layer.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_layers_that_nobody_closes_leave_no_file_thread_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    with create_database(tmp_path / "db", backend) as out:
        datum = pb.Datum(channels=1, height=1, width=1, data=b"7")
        out.put(b"0", datum.SerializeToString())
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    text = data(tmp_path / "db", 1).replace("LMDB", backend.upper())
    gc.collect()
    files, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    for _ in range(10):
        assert Running(text).forward()[0].tolist() == [[[[55]]]]
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= files
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("text", [
    data(Path("nowhere"), 2),
    data(Path("nowhere"), 2).replace("backend: LMDB", ""),
    data(Path("nowhere"), 0),
    'name: "d" type: "Data" top: "data" data_param { batch_size: 2 }',
])  # fmt: skip
def test_data_refuses(text: str) -> None:
    with pytest.raises(Error, match=r"nowhere|batch_size|source"):
        Running(text)


# --- MemoryData with a source ------------------------------------------------------------------


def test_training_sees_every_sample_once_an_epoch_shuffled(database: Path) -> None:
    on_rank(0, 1, seed=11)
    running = Running(memory(database, 5))
    epochs = [[*running.labels(), *running.labels()] for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    running.layer.close()


def test_testing_goes_from_the_first_to_the_last(database: Path) -> None:
    on_rank(1, 2)
    running = Running(memory(database, 5), pb.TEST)
    assert [running.labels() for _ in range(3)] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [0, 1, 2, 3, 4],
    ]
    running.layer.close()


@pytest.mark.parametrize("transform", ["", "mirror: true crop_size: 3 mean_value: 9"])
def test_two_ranks_see_what_one_would_with_twice_the_batch(database: Path, transform: str) -> None:
    def pictures(rank: int, ranks: int, batch: int) -> list[Counter[bytes]]:
        on_rank(rank, ranks)
        running = Running(memory(database, batch, transform=transform))
        batches = [Counter(picture.tobytes() for picture in running.forward()[0]) for _ in range(9)]
        running.layer.close()
        return batches

    alone = pictures(0, 1, 6)
    for both, one, other in zip(alone, pictures(0, 2, 3), pictures(1, 2, 3), strict=True):
        assert one + other == both


def test_ranks_without_a_common_seed_are_refused(database: Path) -> None:
    on_rank(0, 2, seed=None)
    with pytest.raises(LayerError, match="common data_seed"):
        Running(memory(database, 2))


def test_a_lone_rank_takes_its_seed_from_the_main_stream(database: Path) -> None:
    def order(seed: int) -> list[int]:
        context.set_random_seed(seed)
        running = Running(memory(database, 10))
        labels = running.labels()
        running.layer.close()
        return labels

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize(
    ("dims", "transform", "shape"),
    [
        ("", "", (2, 3, 6, 5)),
        ("channels: 3 height: 6 width: 5", "", (2, 3, 6, 5)),
        ("channels: 3 height: 6 width: 5", "crop_size: 4", (2, 3, 4, 4)),
        ("channels: 3 height: 4 width: 4", "crop_size: 4", (2, 3, 4, 4)),
        ("channels: 3 height: 3 width: 2 resize: true", "", (2, 3, 3, 2)),
    ],
)
def test_shapes(database: Path, dims: str, transform: str, shape: tuple[int, ...]) -> None:
    running = Running(memory(database, 2, dims, transform))
    assert running.tops[0].shape == shape
    assert running.forward()[0].shape == shape
    running.layer.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channels: 1 height: 28 width: 28", r"\(1, 28, 28\), sample 00000000 .* \(3, 6, 5\)"),
        ("resize: true", "resize needs"),
    ],
)
def test_shapes_that_do_not_fit(database: Path, text: str, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        Running(memory(database, 2, text))


def test_a_damaged_record_is_left_out_of_its_batch(database: Path, tmp_path: Path) -> None:
    with create_database(tmp_path / "bad") as out:
        for i in range(6):
            datum = pb.Datum(channels=1, height=2, width=2, data=bytes(4), label=i)
            value = datum.SerializeToString()
            out.put(f"{i}".encode(), value[:-3] if i == 2 else value)
    running = Running(memory(tmp_path / "bad", 3), pb.TEST)
    assert [running.labels() for _ in range(3)] == [[0, 1], [3, 4, 5], [0, 1]]
    assert running.tops[0].shape == (2, 1, 2, 2)
    assert "key b'2'" in running.layer.batches.bad[2]
    running.layer.close()


def test_load_gives_chosen_samples_once(database: Path) -> None:
    running = Running(memory(database, 4), pb.TEST)
    assert running.layer.load(range(8, 10)) == ["00000008", "00000009"]
    assert running.labels() == [8, 9]
    assert running.labels() == [0, 1, 2, 3]
    running.layer.close()


# --- MemoryData with arrays --------------------------------------------------------------------

ARRAYS = (
    'name: "m" type: "MemoryData" top: "data" top: "label"'
    " memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 }"
)


def test_arrays_are_served_round_and_round_without_a_copy() -> None:
    running = Running(ARRAYS)
    values = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    running.layer.set_input_arrays(values, np.arange(4, dtype=np.float32))
    assert [running.labels() for _ in range(3)] == [[0, 1], [2, 3], [0, 1]]
    values[2:] = -1
    assert (running.forward()[0] == -1).all()
    running.layer.seek(1)
    assert running.labels() == [2, 3]


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros((3, 1, 1, 3), np.float32), np.zeros(3, np.float32), "multiple of batch_size"),
        (np.zeros((2, 1, 1, 3)), np.zeros(2, np.float32), "data must be a float32"),
        (np.zeros((2, 1, 1, 3), np.float32), np.zeros(2), "labels must be a float32"),
        (np.zeros((2, 1, 3, 1), np.float32), np.zeros(2, np.float32), "the layer serves"),
        (np.zeros((2, 1, 1, 3), np.float32), np.zeros(4, np.float32), "labels of shape"),
        (np.zeros((2, 1, 1, 6), np.float32)[..., ::2], np.zeros(2, np.float32), "C-contiguous"),
    ],
)
def test_arrays_that_do_not_fit(values: Any, labels: Any, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        Running(ARRAYS).layer.set_input_arrays(values, labels)


def test_without_arrays_there_is_nothing_to_give() -> None:
    with pytest.raises(LayerError, match="set_input_arrays"):
        Running(ARRAYS).forward()


def test_a_layer_with_a_source_takes_no_arrays(database: Path) -> None:
    running = Running(memory(database, 2))
    with pytest.raises(LayerError, match="source_class"):
        running.layer.set_input_arrays(np.zeros((2, 3, 6, 5), np.float32), np.zeros(2, np.float32))
    running.layer.close()


@pytest.mark.parametrize("field", ["batch_size: 2", "channels: 1", "height: 1", "width: 3"])
def test_stock_memory_data_needs_its_dimensions(field: str) -> None:
    with pytest.raises(LayerError, match="must be"):
        Running(ARRAYS.replace(field, ""))
