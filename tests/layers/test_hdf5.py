"""HDF5Data and HDF5Output."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from minicaffe import TEST, context
from minicaffe.data.sources.hdf5_rows import Hdf5Rows
from minicaffe.errors import DataError, Error, LayerError, MissingExtra
from minicaffe.proto import minicaffe_pb2 as pb
from tests.golden_cases import cases, file
from tests.layers.feeding import Feed, labels, raw_draws
from tests.one_layer import OneLayer

# --- HDF5Data -----------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three files of 3, 1 and 4 rows; the label is the number of the row."""
    start = 0
    for number, count in enumerate((3, 1, 4)):
        numbers = np.arange(start, start + count)
        with h5py.File(tmp_path / f"{number}.h5", "w") as out:
            out["data"] = numbers[:, np.newaxis] * np.ones(2) / 4
            out["label"] = numbers.astype(np.int16)
            out["name"] = [f"row {n}" for n in numbers]
            out["scalar"] = 3
        start += count
    (tmp_path / "list").write_text("0.h5\n1.h5\n\n2.h5\n")
    return tmp_path


def hdf5_data(more: str = "batch_size: 3") -> str:
    return f'type: "HDF5Data" hdf5_data_param {{ source: "list" {more} }}'


def test_rows_run_across_files(rows: Path, feed: Feed) -> None:
    one = feed(hdf5_data())
    assert [top.shape for top in one.top] == [(3, 2), (3,)]
    assert [labels(one) for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 0], [1, 2, 3]]
    assert np.array_equal(one.top[0].data[:, 1], [0.25, 0.5, 0.75])
    one.layer.seek(1)
    assert labels(one) == [3, 4, 5]


def test_a_shuffle_keeps_files_together(rows: Path, feed: Feed) -> None:
    """Each pass holds each row once; files and their rows come in ever other orders."""
    context.set_random_seed(6)
    one = feed(hdf5_data("batch_size: 8 shuffle: true"))
    passes = [labels(one) for _ in range(8)]
    files = [[min(2, (row > 2) + (row > 3)) for row in order] for order in passes]
    assert all(sorted(order) == list(range(8)) for order in passes)
    assert len({tuple(order) for order in passes}) > 4
    assert all(sum(a != b for a, b in pairwise(of)) == 2 for of in files)
    assert len({tuple(of) for of in files}) > 1
    context.set_random_seed(6)
    again = feed(hdf5_data("batch_size: 8 shuffle: true"))
    again.layer.seek(5)
    assert labels(again) == passes[5]


def test_a_shuffle_leaves_the_fillers_their_numbers(rows: Path, feed: Feed) -> None:
    context.set_random_seed(6)
    feed(hdf5_data("batch_size: 8 shuffle: true"))
    assert context.current().rng.draw() == next(raw_draws(6))


def test_ranks_share_the_rows(rows: Path, feed: Feed) -> None:
    here = context.current()
    here.solver_count = 3
    for rank, expected in ((0, [0, 3, 6, 1]), (2, [2, 5, 0, 3])):
        here.solver_rank = rank
        assert labels(feed(hdf5_data("batch_size: 4"))) == expected
        assert labels(feed(hdf5_data("batch_size: 4"), phase=TEST)) == [0, 1, 2, 3]
    with pytest.raises(LayerError, match="data_seed"):
        feed(hdf5_data("batch_size: 4 shuffle: true"))
    here.data_seed = 1
    shares = []
    for here.solver_rank in range(3):
        shares += labels(feed(hdf5_data("batch_size: 8 shuffle: true")))
    assert sorted(shares) == sorted([*range(8)] * 3)


def rewrite(path: Path, **datasets: Any) -> None:
    with h5py.File(path, "w") as out:
        for name, values in datasets.items():
            out[name] = values


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda folder: (folder / "1.h5").unlink(), "list:2: cannot read HDF5 file 1.h5"),
        (lambda folder: (folder / "1.h5").write_bytes(b"text"), "list:2: cannot read HDF5 file"),
        (lambda folder: (folder / "list").unlink(), "cannot read list"),
        (lambda folder: (folder / "list").write_text("\n"), "leads to no rows"),
        (
            lambda folder: rewrite(folder / "2.h5", data=np.ones((4, 2))),
            r"list:4: 2.h5 has no dataset 'label' \(it has: data\)",
        ),
        (
            lambda folder: rewrite(folder / "2.h5", data=np.ones((4, 2)), label=np.ones(3)),
            "list:4: 2.h5 has 4 rows of 'data' and 3 of 'label'",
        ),
        (
            lambda folder: rewrite(folder / "2.h5", data=np.ones((4, 5)), label=np.ones(4)),
            r"rows of 2.h5 have shapes \[\(5,\), \(\)\], those of 0.h5 \[\(2,\), \(\)\]",
        ),
        (
            lambda folder: rewrite(folder / "0.h5", data=1.0, label=np.ones(4)),
            "dataset 'data' of 0.h5 is a scalar",
        ),
        (
            lambda folder: rewrite(folder / "0.h5", data=["a", "b"], label=np.ones(2)),
            "dataset 'data' of 0.h5 has type",
        ),
    ],
)
def test_bad_hdf5_files_are_refused(
    rows: Path, feed: Feed, break_it: Callable[[Path], None], told: str
) -> None:
    break_it(rows)
    with pytest.raises(DataError, match=told):
        feed(hdf5_data())


def test_a_file_cut_short_while_training_is_named(rows: Path, feed: Feed) -> None:
    one = feed(hdf5_data("batch_size: 4"))
    (rows / "2.h5").write_bytes(b"")
    assert labels(one) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="cannot read HDF5 file 2.h5"):
        one.forward()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (hdf5_data() + " transform_param { scale: 2 }", "does not transform"),
        (hdf5_data(""), "batch_size"),
        ('type: "HDF5Data" hdf5_data_param { batch_size: 2 }', "source must be given"),
    ],
)
def test_bad_hdf5_parameters_are_refused(rows: Path, feed: Feed, text: str, told: str) -> None:
    with pytest.raises(Error, match=told):
        feed(text)


# --- HDF5Output ---------------------------------------------------------------------------------


def output(*inputs: Any) -> OneLayer:
    text = 'type: "HDF5Output" hdf5_output_param { file_name: "out.h5" }'
    return OneLayer(text, *inputs, tops=0)


def stored() -> dict[str, Any]:
    with h5py.File("out.h5") as file:
        return {name: file[name][...] for name in file}


def run(one: OneLayer, *inputs: Any) -> None:
    one.feed(*inputs)
    one.layer.reshape(one.bottom, [])
    one.layer.forward(one.bottom, [])


def test_items_are_added_batch_after_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    batches = [(np.full((n, 3), n, np.float32), np.arange(n, dtype=np.float32)) for n in (2, 3, 1)]
    one = output(*batches[0])
    for batch in batches:
        run(one, *batch)
    found = stored()
    assert {name: values.dtype for name, values in found.items()} == {
        "data": np.float32,
        "label": np.float32,
    }
    assert found["data"].shape == (6, 3, 1, 1)
    assert found["label"].ravel().tolist() == [0, 1, 0, 1, 2, 0]
    one.layer.backward([], [True, False], one.bottom)
    assert not one.bottom[0].diff.any()
    output(*batches[0])
    assert stored() == {}, "a new net begins the file anew"


@pytest.mark.parametrize("case", [c for c in cases("layer") if c.id.startswith("HDF5Output")])
def test_the_file_is_caffes(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = np.load(file(case, "npz"))
    inputs = [arrays["it0/in/x"], arrays["it0/in/l"]]
    run(output(*inputs), *inputs)
    with h5py.File(file(case, "h5")) as caffes:
        assert {name: tuple(caffes[name].shape) for name in caffes} == {
            name: values.shape for name, values in stored().items()
        }
        assert all(np.array_equal(stored()[name], caffes[name][...]) for name in caffes)


def test_what_does_not_fit_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = output(np.zeros((2, 3)), np.zeros(2))
    run(one, np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(LayerError, match=r"'data' has items of shape \(4, 1, 1\)"):
        run(one, np.zeros((2, 4)), np.zeros(2))
    with pytest.raises(LayerError, match="2 items of data and 3 labels"):
        run(one, np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(LayerError, match="at most 4 axes"):
        output(np.zeros((1, 1, 1, 1, 1)), np.zeros(1))
    with pytest.raises(LayerError, match="file_name must be given"):
        OneLayer('type: "HDF5Output"', np.zeros(1), np.zeros(1), tops=0)
    monkeypatch.chdir("/proc")
    with pytest.raises(LayerError, match="cannot write out.h5"):
        output(np.zeros(1), np.zeros(1))


def test_a_missing_library_is_named(
    rows: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"minicaffe\[hdf5\]"):
        feed(hdf5_data())


@pytest.mark.parametrize("text", ["a.h5 b.h5\n", "a.h5\n\n\tb.h5", " a.h5\r\nb.h5 \r\n"])
def test_names_in_a_list_stand_between_any_white_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, first in (("a.h5", 0), ("b.h5", 2)):
        with h5py.File(name, "w") as file:
            file["y"] = np.arange(first, first + 2.0)
    Path("list").write_bytes(text.encode())
    param = pb.LayerParameter(name="rows", type="HDF5Data", top=["y"])
    param.hdf5_data_param.source = "list"
    rows = Hdf5Rows(param, pb.TEST)
    assert [float(rows.read(index).values[0]) for index in range(4)] == [0, 1, 2, 3]
