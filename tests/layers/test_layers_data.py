"""The layers of files: ImageData, WindowData, HDF5Data and HDF5Output."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from minicaffe import TEST, TRAIN, context
from minicaffe.errors import DataError, Error, LayerError
from minicaffe.proto import minicaffe_pb2 as pb
from tests.golden_cases import cases, file
from tests.one_layer import OneLayer

Feed = Callable[..., OneLayer]


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Builds layers without bottoms, in a folder of their own; closes them."""
    monkeypatch.chdir(tmp_path)
    built: list[OneLayer] = []

    def build(text: str, tops: int = 2, phase: int = TRAIN) -> OneLayer:
        names = "".join(f' top: "{name}"' for name in ("data", "label", "extra")[:tops])
        built.append(OneLayer(text + names, tops=tops, phase=phase))
        return built[-1]

    yield build
    for one in built:
        one.layer.close()


def labels(one: OneLayer) -> list[int]:
    """The labels of the next batch."""
    one.forward()
    return [int(label) for label in np.asarray(one.top[1].data).ravel()]


def raw_draws(seed: int) -> Iterator[int]:
    """The 32-bit numbers of MT19937, as NumPy's legacy generator seeds it."""
    bits = np.random.RandomState(seed)._bit_generator
    while True:
        yield int(bits.random_raw())


# --- ImageData ---------------------------------------------------------------------------------


def pixels(number: int, height: int = 6, width: int = 5) -> Any:
    """A colour picture, blue first, of which each value tells number and place."""
    return (np.arange(height * width * 3).reshape(height, width, 3) + 7 * number).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven PNGs and a list of them, label = number."""
    lines = []
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"picture {number}.png"), pixels(number))
        lines.append(f"picture {number}.png {number}")
    (tmp_path / "list").write_text("\n".join(lines) + "\n")
    return tmp_path


def image_data(more: str = "", transform: str = "", root: str = "./") -> str:
    return (
        f'type: "ImageData" transform_param {{ {transform} }}'
        f' image_data_param {{ source: "list" root_folder: "{root}" {more} }}'
    )


def test_pictures_come_in_the_order_of_the_list(pictures: Path, feed: Feed) -> None:
    one = feed(image_data("batch_size: 4"))
    assert one.top[0].shape == (4, 3, 6, 5)
    assert [labels(one) for _ in range(4)] == [
        [0, 1, 2, 3], [4, 5, 6, 0], [1, 2, 3, 4], [5, 6, 0, 1],
    ]  # fmt: skip
    assert np.array_equal(one.top[0].data[1], pixels(6).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        ("", (1, 3, 6, 5)),
        ("is_color: false", (1, 1, 6, 5)),
        ("new_height: 3 new_width: 9", (1, 3, 3, 9)),
        ("batch_size: 2 is_color: false new_height: 12 new_width: 10", (2, 1, 12, 10)),
    ],
)
def test_pictures_are_scaled_and_greyed(
    pictures: Path, feed: Feed, more: str, shape: tuple[int, ...]
) -> None:
    one = feed(image_data(more))
    assert one.top[0].shape == shape
    assert one.forward().shape == shape


def test_the_shuffle_is_caffes(pictures: Path, feed: Feed) -> None:
    """Fisher-Yates from the end, by Boost's uniform_int, again before each pass."""
    context.set_random_seed(5)
    one = feed(image_data("batch_size: 7 shuffle: true"))
    draws = raw_draws(next(raw_draws(5)))
    order = list(range(7))
    for _ in range(4):
        for i in range(6, 0, -1):
            bucket = 0xFFFFFFFF // (i + 1) + (0xFFFFFFFF % (i + 1) == i)
            while (j := next(draws) // bucket) > i:
                pass
            order[i], order[j] = order[j], order[i]
        assert labels(one) == order


def test_draws_come_in_caffes_order(pictures: Path, feed: Feed) -> None:
    """The transformer's first seed, the skip, the transformer's second seed, the thread's."""
    context.set_random_seed(3)
    one = feed(image_data("batch_size: 5 rand_skip: 4", "crop_size: 4 mirror: true scale: 0.5"))
    rng = raw_draws(3)
    next(rng)
    skip, seed = next(rng) % 4, next(rng)
    draws = raw_draws(seed)
    for batch in range(3):
        one.forward()
        for row in range(5):
            picture = pixels((skip + 5 * batch + row) % 7).transpose(2, 0, 1)
            mirrored, top, left = next(draws) % 2, next(draws) % 3, next(draws) % 2
            window = picture[:, top : top + 4, left : left + 4]
            expected = window[:, :, ::-1] if mirrored else window
            assert np.array_equal(one.top[0].data[row], 0.5 * np.float32(expected))
    next(rng)
    assert context.current().rng.draw() == next(rng)


def test_nothing_is_drawn_that_is_not_needed(pictures: Path, feed: Feed) -> None:
    context.set_random_seed(3)
    feed(image_data("batch_size: 2", "crop_size: 4"), phase=TEST)
    assert context.current().rng.draw() == list(islice(raw_draws(3), 2))[1]


@pytest.mark.parametrize("shuffle", ["", "shuffle: true"])
def test_seek_goes_anywhere(pictures: Path, feed: Feed, shuffle: str) -> None:
    context.set_random_seed(2)
    one = feed(image_data(f"batch_size: 3 {shuffle}", "mirror: true"))
    batches = [one.forward() for _ in range(6)]
    for number in (4, 0, 5, 2, 3):
        one.layer.seek(number)
        assert np.array_equal(one.forward(), batches[number])


@pytest.mark.parametrize("shuffle", ["", "shuffle: true"])
def test_ranks_share_the_list(pictures: Path, feed: Feed, shuffle: str) -> None:
    seen: list[int] = []
    here = context.current()
    here.solver_count, here.data_seed = 2, 11
    for rank in (0, 1):
        here.solver_rank = rank
        one = feed(image_data(f"batch_size: 7 {shuffle}"))
        seen += labels(one)
        assert labels(feed(image_data("batch_size: 7"), phase=TEST)) == list(range(7))
    assert sorted(seen) == sorted([*range(7), *range(7)])


def test_ranks_that_shuffle_need_a_common_seed(pictures: Path, feed: Feed) -> None:
    context.current().solver_count = 2
    with pytest.raises(LayerError, match="data_seed"):
        feed(image_data("shuffle: true"))


def test_a_file_that_cannot_be_read_is_left_out_and_named(
    pictures: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / "picture 1.png").unlink()
    (pictures / "picture 2.png").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING, "minicaffe"):
        one = feed(image_data("batch_size: 4"))
        assert labels(one) == [0, 3]
    assert one.layer.batches.bad.keys() == {1, 2}
    assert "list:2: cannot read ./picture 1.png: No such file" in caplog.text
    assert "list:3: ./picture 2.png: an encoded picture of 10 bytes" in caplog.text


def test_paths_of_any_encoding_lead_to_their_files(pictures: Path, feed: Feed) -> None:
    name = b"caf\xe9 1.png"  # Latin 1
    cv2.imwrite(str(pictures / "plain.png"), pixels(3))
    (pictures / "plain.png").rename(pictures / name.decode(errors="surrogateescape"))
    (pictures / "list").write_bytes(name + b" 9\r\n")
    assert labels(feed(image_data())) == [9]


@pytest.mark.parametrize(
    ("listed", "more", "told"),
    [
        ("gone.png 3\n", "", r"list:1: cannot read \./gone.png"),
        ("a b\n", "", "list:1: 'path label' is expected, not 'a b'"),
        ("picture 0.png 0\n\n7\n", "", "list:3"),
        ("picture 0.png 0.5\n", "", "list:1"),
        ("\n", "", "no entries"),
        (None, "", "cannot read list"),
        ("picture 0.png 0\n", "new_height: 3", "both of new_height and new_width"),
        ("picture 0.png 0\n", "batch_size: 0", "batch_size"),
        ("picture 0.png 0\n", "rand_skip: 100", "rand_skip passes over"),
    ],
)
def test_bad_lists_are_refused(
    pictures: Path, feed: Feed, listed: str | None, more: str, told: str
) -> None:
    (pictures / "list").unlink()
    if listed is not None:
        (pictures / "list").write_text(listed)
    context.set_random_seed(1)
    with pytest.raises(Error, match=told):
        feed(image_data(more))


def test_pictures_of_different_sizes_make_no_batch(pictures: Path, feed: Feed) -> None:
    cv2.imwrite(str(pictures / "picture 1.png"), pixels(1, 7, 5))
    with pytest.raises(DataError, match=r"picture 1.png has shape \(3, 7, 5\)"):
        feed(image_data("batch_size: 2")).forward()
    assert feed(image_data("batch_size: 2", "crop_size: 4")).forward().shape == (2, 3, 4, 4)


# --- WindowData --------------------------------------------------------------------------------


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """Two pictures of 12 x 10 with windows: foreground of labels 1 and 2, background, between."""
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels(20 * number, 12, 10))
    (tmp_path / "windows").write_text(
        "# 0 0.png 3 12 10 4\n 1 0.9 0 0 9 11\n 2 0.75 2 2 5 5\n 1 0.6 1 1 3 3\n 1 0.1 4 6 9 11\n"
        "# 1 1.png 3 12 10 1\n 3 0.0 1 0 4 3\n"
    )
    return tmp_path


def window_data(
    more: str = "", transform: str = "crop_size: 6", batch: int = 4, foreground: float = 0.5
) -> str:
    return (
        f'type: "WindowData" transform_param {{ {transform} }}'
        f' window_data_param {{ source: "windows" root_folder: "./" batch_size: {batch}'
        f" fg_threshold: 0.7 bg_threshold: 0.5 fg_fraction: {foreground} {more} }}"
    )


def test_windows_are_drawn_as_caffe_draws(windows: Path, feed: Feed) -> None:
    """Background first; each window a draw for its number and, with mirror, one more."""
    context.set_random_seed(4)
    one = feed(window_data(transform="crop_size: 4 mirror: true"))
    assert [top.shape for top in one.top] == [(4, 3, 4, 4), (4,)]
    rng = raw_draws(4)
    next(rng)
    draws = raw_draws(next(rng))
    seen = []
    for _ in range(10):
        seen += labels(one)
        for row in range(4):
            number, mirrored = next(draws) % 2, next(draws) % 2
            assert seen[row - 4] == (0 if row < 2 else number + 1)
            if row < 2 and number == 1:  # the window is 4 x 4: nothing is warped
                box = pixels(20, 12, 10)[0:4, 1:5].transpose(2, 0, 1)
                expected = box[:, :, ::-1] if mirrored else box
                assert np.array_equal(one.top[0].data[row], expected)
    one.layer.seek(1)
    assert labels(one) == seen[4:8]


def only(windows: Path, box: str) -> None:
    """Make `box` the one foreground window; the background is the whole picture."""
    (windows / "windows").write_text(f"# 0 0.png 3 12 10 2\n1 0.9 {box}\n0 0 0 0 9 11\n")


def test_what_lies_outside_the_picture_is_zero(windows: Path, feed: Feed) -> None:
    """A window of 2 x 2 in the corner grows by 6 / (6 - 2): from -0.5, rounded to -1, to 3."""
    only(windows, "0 0 1 1")
    picture = pixels(0, 12, 10)
    warped = cv2.resize(picture[:4, :4], (5, 5)).transpose(2, 0, 1)  # 4 of the 5 pixels, times 1.2
    plain, mirrored = np.zeros((2, 3, 6, 6), np.float32)
    plain[:, 1:, 1:] = 2 * (np.float32(warped) - 1)
    mirrored[:, 1:, :5] = plain[:, 1:, :0:-1]
    context.set_random_seed(0)
    transform = "crop_size: 6 mean_value: 1 mirror: true"
    one = feed(window_data("context_pad: 1 scale: 2", transform, batch=12, foreground=1))
    crops = one.forward()
    found = [[np.array_equal(crop, wanted) for wanted in (plain, mirrored)] for crop in crops]
    assert all(sum(equal) == 1 for equal in found)
    assert {equal.index(True) for equal in found} == {0, 1}


def test_a_square_shows_the_longer_side(windows: Path, feed: Feed) -> None:
    """A window of 2 x 4 becomes 4 x 4 around its middle; Caffe's rounding makes it 5 x 5."""
    only(windows, "4 4 7 5")
    one = feed(window_data('crop_mode: "square"', "crop_size: 5", foreground=1))
    box = pixels(0, 12, 10)[3:8, 4:9].transpose(2, 0, 1)
    assert np.array_equal(one.forward()[0], box)


def test_the_mean_files_middle_is_taken_off(windows: Path, feed: Feed) -> None:
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    proto = pb.BlobProto(num=1, channels=3, height=8, width=8, data=mean.ravel().tolist())
    (windows / "mean").write_bytes(proto.SerializeToString())
    only(windows, "2 2 5 5")
    one = feed(window_data("", 'crop_size: 4 mean_file: "mean"', foreground=1))
    box = pixels(0, 12, 10)[2:6, 2:6].transpose(2, 0, 1)
    assert np.array_equal(one.forward()[0], box - mean[:, 2:6, 2:6])
    with pytest.raises(DataError, match="smaller than crop_size 9"):
        feed(window_data(transform='crop_size: 9 mean_file: "mean"'))


def test_cached_pictures_are_read_once(windows: Path, feed: Feed) -> None:
    only(windows, "2 2 5 5")
    for cached in (True, False):
        one = feed(window_data(f"cache_images: {str(cached).lower()}"))
        one.layer.load([0])
        (windows / "0.png").rename(windows / "hidden.png")
        assert len(one.layer.load([1])) == cached
        (windows / "hidden.png").rename(windows / "0.png")


def test_an_old_nets_scale_is_kept(windows: Path, feed: Feed) -> None:
    """Upgrading moves it to transform_param."""
    one = feed(window_data(transform="crop_size: 6 scale: 0.5"))
    assert one.layer.batches.source.scale == 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no foreground window in 0 pictures"),
        ("# 1 0.png 3 12 10 0", "windows:1: the number 0 is expected"),
        ("# 0 0.png 3 12 10\n2 1 0.9 0 0", "windows ends where x2 is expected"),
        ("# 0 0.png 3 12 10 1\n1 high 0 0 1 1", "windows:2: an overlap is expected, .*'high'"),
        ("# 0 0.png 3 12 10 1\n0 0.9 0 0 1 1", "windows:2: label 0 of a foreground window"),
        ("0 0.png", "windows:1: '#'"),
        ("# 0 0.png 3 12 10 1\n1 0.9 0 0 1 1", "no background window in 1 pictures"),
    ],
)
def test_bad_window_files_are_refused(windows: Path, feed: Feed, text: str, told: str) -> None:
    (windows / "windows").write_text(text)
    with pytest.raises(DataError, match=told):
        feed(window_data())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (window_data(transform=""), "crop_size must be above 0"),
        (window_data(batch=0), "batch_size"),
        (window_data("context_pad: 3"), "context_pad 3 leaves nothing of crop_size 6"),
        (window_data('crop_mode: "round"'), "crop_mode 'round'"),
        (window_data(foreground=2), "fg_fraction 2"),
        (window_data(transform='crop_size: 6 mean_value: 1 mean_file: "m"'), "exclude each other"),
    ],
)
def test_bad_window_parameters_are_refused(windows: Path, feed: Feed, text: str, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        feed(text)


@pytest.mark.parametrize(
    ("box", "more"),
    [
        ("-1 0 5 5", ""),
        ("0 0 10 5", ""),
        ("5 0 4 5", ""),
        ("30 30 35 35", ""),
        ("30 30 35 35", "context_pad: 1"),
    ],
)
def test_windows_outside_the_picture_are_left_out_and_named(
    windows: Path, feed: Feed, box: str, more: str
) -> None:
    only(windows, box)
    one = feed(window_data(more))
    assert labels(one) == [0, 0]
    assert all("windows:2: window x " in reason for reason in one.layer.batches.bad.values())


# --- HDF5Data ----------------------------------------------------------------------------------


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


# --- HDF5Output --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("library", "text", "extra"),
    [
        ("h5py", hdf5_data(), "hdf5"),
        ("cv2", image_data(), "images"),
    ],
)
def test_missing_libraries_are_named(
    pictures: Path, rows: Path, feed: Feed, library: str, text: str, extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from minicaffe.errors import MissingExtra

    if library == "cv2":
        (pictures / "list").write_text("picture 0.png 0\n")
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtra, match=rf"minicaffe\[{extra}\]"):
        feed(text)
