"""Small files with large intentions: pictures, lists, LevelDB folders, archives, nets; refused."""

import gzip
import lzma
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.cli.convert import cifar, mnist
from minicaffe.data import image_list, leveldb_file
from minicaffe.data.datum import decode, resize
from minicaffe.data.image_list import read_file, read_image_list, read_lines
from minicaffe.data.picture_size import size_of
from minicaffe.data.source import source_class
from minicaffe.errors import DataError, LayerError
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

cv2 = pytest.importorskip("cv2")

# --- pictures ------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A PNG of that size, without a line of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * min(height, 4)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".gif", ".webp", ".tiff"])
@pytest.mark.parametrize("shape", [(7, 5, 3), (300, 70, 3)])
def test_the_size_stands_in_the_head(extension: str, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    try:
        made, file = cv2.imencode(extension, picture)
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {extension}")
    assert made
    assert size_of(file.tobytes()) == (shape[1], shape[0])


@pytest.mark.parametrize(
    "file",
    [
        png(20000, 20000),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(20),
        b"BM" + bytes(16) + struct.pack("<ii", 30000, -30000) + bytes(30),
        b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65000, 65000) + bytes(20),
    ],
)
def test_a_picture_larger_than_its_file_is_not_decoded(file: bytes) -> None:
    with pytest.raises(DataError, match=r"bytes says that it has \d+ x \d+ pixels"):
        decode(file)


def test_a_picture_that_cannot_be_scaled_is_named() -> None:
    with pytest.raises(DataError, match="cannot be scaled from 4 x 4 to 0 x 9"):
        resize(np.zeros((3, 4, 4), np.uint8), 0, 9)


# --- lists and what they name --------------------------------------------------------------------


def test_a_list_with_a_byte_0_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a.png 1\nb\0.png 1\n")
    with pytest.raises(DataError, match="list:2: a byte 0, where lines of text are expected"):
        read_image_list(tmp_path / "list")


def test_an_endless_list_is_refused() -> None:
    with pytest.raises(DataError, match="/dev/zero:1: a byte 0"):
        read_lines("/dev/zero")


def test_a_list_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_list, "LONGEST", 1 << 20)
    (tmp_path / "list").write_bytes(b"a.png 1\n" * (1 << 18))
    with pytest.raises(DataError, match="a text of more than 1 MiB is not read"):
        read_lines(tmp_path / "list")


def test_a_list_may_come_out_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a b.png 3\r\n",))
    writer.start()
    entry = read_image_list(tmp_path / "pipe")[0]
    writer.join()
    assert (entry.path, entry.label) == ("a b.png", 3)


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "a\0b"])
def test_a_list_names_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(DataError, match=r"list:1: cannot read "):
        read_file(path, "list:1")


# --- LevelDB -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / "000009.ldb").symlink_to("000009.ldb"), "000009.ldb"),
        (lambda folder: (folder / "extra.log").symlink_to("/dev/zero"), "is no regular file"),
        (lambda folder: os.mkfifo(folder / "MANIFEST-000099"), "is no regular file"),
        (lambda folder: (folder / "CURRENT").write_text("../secret\n"), "CURRENT names no file"),
    ],
)
def test_a_leveldb_leads_nowhere_else(
    tmp_path: Path, harm: Callable[[Path], object], says: str
) -> None:
    pytest.importorskip(leveldb_file.LIBRARY)
    from minicaffe.data.leveldb_file import LeveldbReader, LeveldbWriter

    with LeveldbWriter(tmp_path / "db") as writer:
        writer.put(b"0", b"x")
    (tmp_path / "db" / "notes.txt").symlink_to("/dev/zero")  # nothing of LevelDB's: left alone
    with LeveldbReader(tmp_path / "db") as reader:
        assert len(reader) == 1
    harm(tmp_path / "db")
    with pytest.raises(DataError, match=says):
        LeveldbReader(tmp_path / "db")


# --- archives ------------------------------------------------------------------------------------


def test_archives_unpack_so_far_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "LARGEST", 1 << 20)
    monkeypatch.setattr(cifar, "LARGEST", 1 << 20)
    (tmp_path / "idx.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    (tmp_path / "batch.bin.xz").write_bytes(lzma.compress(bytes(1 << 22)))
    with pytest.raises(DataError, match=r"idx\.gz holds more than 1 MiB"):
        mnist.read_idx(tmp_path / "idx.gz", mnist.IMAGES)
    with pytest.raises(DataError, match=r"batch\.bin\.xz holds more than 1 MiB"):
        cifar.read_batch(tmp_path / "batch.bin")


# --- nets ----------------------------------------------------------------------------------------

EMPTY = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 0 dim: 2 %s } } } '


def net_of(text: str, device: str = "reference") -> Net:
    param = parse_text(text, pb.NetParameter())
    param.force_backward = True
    return Net(param, minicaffe.TRAIN, device=device)


@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        ('type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 }', 2),
        ('type: "Convolution" convolution_param { num_output: 3 kernel_size: 2 }', 3),
        ('type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 3 }', 2),
        ('type: "Im2col" convolution_param { kernel_size: 3 }', 2),
        ('type: "Pooling" pooling_param { pool: AVE global_pooling: true }', 2),
        ('type: "Pooling" pooling_param { pool: MAX kernel_size: 2 }', 2),
        ('type: "SPP" spp_param { pyramid_height: 2 pool: AVE }', 2),
        ('type: "SPP" spp_param { pyramid_height: 2 }', 2),
        ('type: "Filter" bottom: "s"', 2),
        ('type: "LRN"', 2),
        ('type: "InnerProduct" inner_product_param { num_output: 3 }', 2),
    ],
)
def test_a_batch_of_nothing_runs(layer: str, axes: int, device: str) -> None:
    text = EMPTY % ("dim: 5 " * axes)
    if "Filter" in layer:
        text += 'layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 0 } } } '
    net = net_of(text + f'layer {{ name: "y" bottom: "x" top: "y" {layer} }}', device)
    net.forward_pass()
    net.clear_param_diffs()
    net.backward_pass()
    assert net.blob_dict["y"].shape[0] == 0
    net.close()


def test_a_filter_needs_items() -> None:
    x = 'layer { name: "x" type: "Input" top: "x" top: "s" input_param { shape { } } } '
    with pytest.raises(LayerError, match="the selector has one value an item, its shape is"):
        net_of(x + 'layer { name: "y" type: "Filter" bottom: "x" bottom: "s" top: "y" }')


def test_a_pyramid_ends_where_the_image_does() -> None:
    x = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 %s } } } '
    spp = (
        'layer { name: "y" type: "SPP" bottom: "x" top: "y" spp_param { pyramid_height: 1000000 } }'
    )
    with pytest.raises(LayerError, match="layer 'y'"):
        net_of(x % "dim: 5 dim: 5" + spp)


def test_statistics_of_batch_norm_come_as_three() -> None:
    x = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } } '
    one = "blobs { shape { dim: 1 } data: 1 }"
    with pytest.raises(LayerError, match=r"it has \[\(3,\), \(3,\), \(1,\)\]"):
        net_of(x + f'layer {{ name: "y" type: "BatchNorm" bottom: "x" top: "y" {one} }}')


def test_a_net_that_cannot_be_built_closes_what_it_opened(tmp_path: Path) -> None:
    from minicaffe.data.lmdb_writer import LmdbWriter

    datum = pb.Datum(channels=3, height=4, width=4, data=bytes(48))
    with LmdbWriter(tmp_path / "db") as writer:
        writer.put(b"0", datum.SerializeToString())
    text = (
        f'layer {{ name: "d" type: "Data" top: "d" data_param {{ source: "{tmp_path}/db"'
        ' backend: LMDB batch_size: 2 } } layer { name: "c" type: "Convolution" bottom: "d"'
        ' top: "c" convolution_param { kernel_size: 0 num_output: 1 } }'
    )
    errors = []
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        with pytest.raises(LayerError) as caught:
            net_of(text)
        errors.append(caught)  # their tracebacks keep the net alive
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('boom')", ":1: RuntimeError: boom"),
        ("import sys; sys.exit(7)", ":1: SystemExit: 7"),
        ("def x(:", ":1:7: SyntaxError: invalid syntax"),
        ("import tensorflw", ":1 imports 'tensorflw', which is not installed"),
    ],
)
def test_a_module_of_a_source_that_fails_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    name = f"bad_source_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=rf"^source_class '{name}\.X': .*{name}\.py{says}"):
        source_class(f"{name}.X")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("..X", "'.' is no name of a module"),
        ("...", "'..' is no name of a module"),
        (".", "no data source '.' .there are: "),
        ("a..b.X", "'a..b' is no name of a module"),
        ("os.path.X", "has no DataSource 'X'"),
    ],
)
def test_names_that_lead_to_no_module(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        source_class(name)
