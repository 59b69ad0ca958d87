"""ImageData: pictures from a list of files."""

import logging
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from minicaffe import TEST, context
from minicaffe.errors import DataError, Error, LayerError, MissingExtra
from tests.layers.feeding import Feed, image_data, labels, pixels, raw_draws


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven PNGs and a list of them, label = number."""
    lines = []
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"picture {number}.png"), pixels(number))
        lines.append(f"picture {number}.png {number}")
    (tmp_path / "list").write_text("\n".join(lines) + "\n")
    return tmp_path


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
        ("a 2147483648\n", "", "list:1: 'path label' is expected, not 'a 2147483648'"),
        ("a " + "9" * 5000, "", "list:1: 'path label' is expected, not 'a 9{198}'"),
        ("picture 0.png 0\n\npicture 1.png\t7\n", "", "list:3"),
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


def test_a_missing_library_is_named(
    pictures: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"minicaffe\[images\]"):
        feed(image_data())
