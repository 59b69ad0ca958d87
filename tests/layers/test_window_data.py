"""WindowData: windows of pictures, from a window file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import DataError, LayerError
from minicaffe.proto import minicaffe_pb2 as pb
from tests.layers.feeding import Feed, labels, pixels, raw_draws


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
