"""Converters write the records that Caffe's own tools write, and name what is wrong with a file."""

import gzip
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli import main
from minicaffe.cli.convert.cifar import convert_batches, convert_cifar
from minicaffe.cli.convert.mnist import IMAGES, LABELS, convert_mnist, read_idx
from minicaffe.data.database import open_database, parse_datum
from minicaffe.errors import DataError


def idx(magic: int, array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)


@pytest.fixture
def files(tmp_path: Path, pixels: np.ndarray) -> tuple[Path, Path]:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(IMAGES, pixels))
    labels.write_bytes(idx(LABELS, np.array([7, 2, 1, 0, 200])))
    return images, labels


def datum_bytes(channels: int, height: int, width: int, data: bytes, label: int) -> bytes:
    """A Datum as protobuf's C++ writes it: the fields set, in order of their numbers."""

    def varint(value: int) -> bytes:
        rest = b""
        while value >= 128:
            rest += bytes([value & 127 | 128])
            value >>= 7
        return rest + bytes([value])

    fields = [(0x08, channels), (0x10, height), (0x18, width)]
    head = b"".join(bytes([tag]) + varint(value) for tag, value in fields)
    return head + b"\x22" + varint(len(data)) + data + b"\x28" + varint(label)


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_records(
    tmp_path: Path, files: tuple[Path, Path], pixels: np.ndarray, backend: str, compressed: bool
) -> None:
    if compressed:
        for file in files:
            file.write_bytes(gzip.compress(file.read_bytes()))
    assert convert_mnist(*files, tmp_path / "db", backend) == 5
    with open_database(tmp_path / "db", backend) as records:
        assert list(records.items()) == [
            (b"%08d" % i, datum_bytes(1, 3, 4, pixels[i].tobytes(), label))
            for i, label in enumerate([7, 2, 1, 0, 200])
        ]


def test_mnist_as_shipped(checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "examples" / "mnist"
    made = convert_mnist(
        folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz", tmp_path / "db"
    )
    assert made == 10000
    with open_database(tmp_path / "db") as records:
        keys = list(records.keys())
        assert (keys[0], keys[-1]) == (b"00000000", b"00009999")
        first = [parse_datum(records.get(key), key, "db") for key in keys[:5]]
    assert [datum.label for datum in first] == [7, 2, 1, 0, 4]
    assert {(datum.channels, datum.height, datum.width) for datum in first} == {(1, 28, 28)}
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", LABELS)
    assert np.bincount(labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("which", "change", "says"),
    [
        (0, lambda raw: raw[:-1], r"cut short or too long: 59 values for 5 x 3 x 4"),
        (0, lambda raw: raw + b"x", r"cut short or too long: 61 values"),
        (0, lambda raw: raw[:7], r"cut short or too long"),
        (0, lambda raw: b"", r"is no IDX file of images: magic number 0, not 2051"),
        (0, lambda raw: b"PK" + raw, r"is no IDX file of images"),
        (1, lambda raw: b"\x00\x00\x08\x03" + raw[4:], r"labels is no IDX file of labels: .*2051"),
        (1, lambda raw: idx(LABELS, np.zeros(4)), r"images has 5 images, .*labels has 4 labels"),
        (1, lambda raw: gzip.compress(raw)[:-9], r"is cut short or damaged"),
        (1, lambda raw: gzip.compress(raw)[:12] + b"?" * 20, r"is cut short or damaged"),
    ],
)
def test_mnist_files_that_are_wrong(
    tmp_path: Path, files: tuple[Path, Path], which: int, change, says: str
) -> None:
    files[which].write_bytes(change(files[which].read_bytes()))
    with pytest.raises(DataError, match=says):
        convert_mnist(*files, tmp_path / "db")
    assert not (tmp_path / "db").exists()


def test_the_command_says_what_it_made(
    tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", "mnist", *map(str, files), str(tmp_path / "db")]
    assert main(words) == 0
    assert capsys.readouterr() == (f"{tmp_path}/db: 5 records\n", "")
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"minicaffe: error: {tmp_path}/db exists already: name a new database\n"
    )
    assert main(["convert", "mnist", "nowhere", "labels", str(tmp_path / "new")]) == 1
    assert "cannot read nowhere: No such file or directory" in capsys.readouterr().err
    assert main([*words, "-backend", "rocks"]) == 2
    assert "invalid choice: 'rocks'" in capsys.readouterr().err


# --- CIFAR-10 -----------------------------------------------------------------------------------


def batch(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).integers(0, 256, (count, 3073), np.uint8)
    rows[:, 0] %= 10
    return rows


def test_cifar_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, test = batch(4, 1), batch(3, 2), batch(2, 3)
    (tmp_path / "data_batch_1.bin").write_bytes(one.tobytes())
    (tmp_path / "data_batch_2.bin.xz").write_bytes(lzma.compress(two.tobytes()))
    (tmp_path / "test_batch.bin").write_bytes(test.tobytes())
    assert main(["convert", "cifar", str(tmp_path), str(tmp_path)]) == 0
    train_path, test_path = tmp_path / "cifar10_train_lmdb", tmp_path / "cifar10_test_lmdb"
    assert capsys.readouterr().out == f"{train_path}: 7 records\n{test_path}: 2 records\n"
    for path, rows in ((train_path, np.concatenate([one, two])), (test_path, test)):
        with open_database(path) as records:
            assert list(records.items()) == [
                (b"%05d" % i, datum_bytes(3, 32, 32, row[1:].tobytes(), int(row[0])))
                for i, row in enumerate(rows)
            ]


def test_cifar_files_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        convert_cifar(tmp_path / "nowhere", tmp_path)
    with pytest.raises(DataError, match=r"holds none of data_batch_1\.bin"):
        convert_cifar(tmp_path, tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(batch(1, 1).tobytes())
    with pytest.raises(DataError, match=r"holds none of test_batch\.bin"):
        convert_cifar(tmp_path, tmp_path)
    assert not (tmp_path / "cifar10_train_lmdb").exists()
    (tmp_path / "short.bin").write_bytes(bytes(3072))
    with pytest.raises(DataError, match="3072 bytes, no multiple of a record's 3073"):
        convert_batches([tmp_path / "short.bin"], tmp_path / "db")
    (tmp_path / "bad.bin.xz").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="is cut short or damaged"):
        convert_batches([tmp_path / "bad.bin"], tmp_path / "db")


def test_cifar_as_published(shared: Path, tmp_path: Path) -> None:
    assert convert_batches([shared / "data/cifar10/test_batch.bin"], tmp_path / "db") == 10000
    with open_database(tmp_path / "db") as records:
        labels = [parse_datum(value, key, "db").label for key, value in records.items()]
    assert np.bincount(labels).tolist() == [1000] * 10
