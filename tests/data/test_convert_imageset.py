"""convert_imageset writes what Caffe's wrote, and says what it leaves out."""

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from minicaffe.cli import main
from minicaffe.cli.convert.imageset import Options, convert_imageset
from minicaffe.data.database import open_database, parse_datum
from minicaffe.data.datum import picture_of
from minicaffe.data.image_list import Entry, read_image_list, whole_number
from minicaffe.errors import DataError

COMMANDS = {
    "db_lmdb": "--backend=lmdb",
    "db_leveldb": "--backend=leveldb",
    "db_lmdb_encoded": "--backend=lmdb --encoded=true",
    "db_lmdb_enc_resized": "--encode_type=png --resize_width=6 --resize_height=5",
    "db_lmdb_gray_resized": "-gray -resize_width=8 -resize_height=7",
    "db_lmdb_gray_encoded": "--gray --encoded=true --noshuffle",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_records_are_caffes(goldens: Path, tmp_path: Path, name: str) -> None:
    files = goldens / "files"
    listed = files / "images" / ("list_gray.txt" if "gray_enc" in name else "list.txt")
    words = [f"{files}/images/", str(listed), str(tmp_path / "db")]
    assert main(["convert_imageset", *shlex.split(COMMANDS[name]), *words]) == 0
    backend = "leveldb" if name == "db_leveldb" else "lmdb"
    with (
        open_database(tmp_path / "db", backend) as mine,
        open_database(files / name, backend) as caffes,
    ):
        if name == "db_lmdb_enc_resized":  # another library packs the same pixels in other bytes
            assert list(mine.keys()) == list(caffes.keys())
            for key, _ in mine.items():
                pictures = [picture_of(parse_datum(db.get(key), key, "")) for db in (mine, caffes)]
                assert np.array_equal(*pictures)
        else:
            assert list(mine.items()) == list(caffes.items())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in (("a.png", (4, 5, 3)), ("b c.JPG", (4, 5, 3)), ("large.png", (8, 5, 3))):
        cv2.imwrite(str(tmp_path / name), np.full(size, 100, np.uint8))
    (tmp_path / "no picture.txt").write_text("hello")
    return tmp_path


def test_what_is_no_picture_is_left_out_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "list").write_text("a.png 1\nno picture.txt 2\ngone.png 3\nb c.JPG -4\n")
    assert main(["convert_imageset", str(folder), f"{folder}/list", f"{folder}/db"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{folder}/db: 2 records\n"
    assert "Could not open or find file no picture.txt" in said.err
    assert "Could not open or find file gone.png" in said.err
    with open_database(folder / "db") as records:
        found = [(key, parse_datum(value, key, "").label) for key, value in records.items()]
    assert found == [(b"00000000_a.png", 1), (b"00000003_b c.JPG", -4)]


def test_sizes_are_checked_when_asked(folder: Path) -> None:
    lines = [Entry("a.png", 0, "list:1"), Entry("large.png", 1, "list:2")]
    assert convert_imageset(folder, lines, folder / "any") == 2
    with pytest.raises(DataError, match=r"large\.png: 120 bytes, the pictures before it have 60"):
        convert_imageset(folder, lines, folder / "same", options=Options(check_size=True))
    assert not (folder / "same").exists()


def test_files_are_kept_as_they_are_when_their_kind_fits(folder: Path) -> None:
    lines = [Entry("a.png", 0, "list:1"), Entry("b c.JPG", 1, "list:2")]
    convert_imageset(folder, lines, folder / "db", options=Options(encode_type="jpeg"))
    with open_database(folder / "db") as records:
        stored = [parse_datum(value, key, "").data for key, value in records.items()]
    assert stored[0][:2] == b"\xff\xd8"
    assert stored[1] == (folder / "b c.JPG").read_bytes()


def test_shuffled_lists_hold_the_same(folder: Path) -> None:
    (folder / "list").write_text("".join(f"a.png {label}\n" for label in range(50)))
    words = [str(folder), f"{folder}/list", f"{folder}/db", "--shuffle"]
    assert main(["convert_imageset", *words]) == 0
    with open_database(folder / "db") as records:
        labels = [parse_datum(value, key, "").label for key, value in records.items()]
    assert labels != sorted(labels)
    assert sorted(labels) == list(range(50))


def test_lists_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_image_list(tmp_path / "gone")
    for text in ("a.png 1\nb.png two\n", "a.png 1\nb.png\t2\n", "a.png 1\nb.png 0.5\n"):
        (tmp_path / "list").write_text(text)
        with pytest.raises(DataError, match=r"list:2: 'path label' is expected, not 'b\.png"):
            read_image_list(tmp_path / "list")


@pytest.mark.parametrize(
    ("root", "text", "labels"),
    [
        ("./", "a.png 1\nb c.JPG 2\n\n", [1, 2]),  # an empty line
        ("", "a.png 1\nb c.JPG 2\n", [1, 2]),
        ("./l", "arge.png 3\n", [3]),  # root is put before the path as it is
        (".", "a.png 1\n", [1]),
        ("./", "a.png  1\nb c.JPG  2\n", [1, 2]),  # two spaces
        ("./", "a.png\nlarge.png\n", [0, 0]),  # no labels
        ("./", "a.png -3 \r\nlarge.png +4\t\n", [-3, 4]),
    ],
)
def test_lists_as_caffe_reads_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, root: str, text: str, labels: list[int]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "list").write_bytes(text.encode())
    assert main(["convert_imageset", root, "list", "db"]) == 0
    with open_database("db") as records:
        assert [parse_datum(v, k, "").label for k, v in records.items()] == labels
    assert [entry.label for entry in read_image_list("list")] == labels


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("7", 7),
        ("-7", -7),
        ("+007", 7),
        ("0", 0),
        ("000", 0),
        ("2147483647", 2**31 - 1),
        ("-2147483648", -(2**31)),
        ("0" * 5000 + "12", 12),
        ("2147483648", None),
        ("9" * 5000, None),
        ("", None),
        ("+", None),
        ("1.0", None),
        ("1_0", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_whole_numbers_of_a_list_have_32_bits(word: str, number: int | None) -> None:
    assert whole_number(word) == number
