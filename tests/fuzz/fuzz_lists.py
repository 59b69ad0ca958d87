"""For the fuzzer: text that names files and modules, and archives (MNIST, CIFAR)."""

import gzip
import lzma
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minicaffe
from minicaffe.cli.convert.cifar import RECORD, read_batch
from minicaffe.cli.convert.mnist import IMAGES, read_idx
from minicaffe.data.transformer import read_mean
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.blob_proto import array_to_blob_proto
from minicaffe.proto.text import parse_text
from tests.fuzz.fuzz_mutations import NUMBERS, bytes_changed

PICTURES = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "damaged" batch_size: 3 new_height: 5 new_width: 4 shuffle: true } }
"""
ROWS = """
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "damaged" batch_size: 3 } }
"""
WINDOWS = """
layer { name: "windows" type: "WindowData" top: "data" top: "label"
  transform_param { crop_size: 6 mirror: true }
  window_data_param { source: "damaged" batch_size: 4 context_pad: 1 } }
"""
MEAN = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  transform_param { crop_size: 3 mean_file: "damaged" }
  image_data_param { source: "honest_list.txt" batch_size: 2 new_height: 8 new_width: 9 } }
"""
PYTHON = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "mine" type: "Python" bottom: "x" top: "y"
  python_param { module: "honest_layers" layer: "Same" } }
"""
SOURCE = """
layer { name: "data" type: "MemoryData" top: "data" top: "label" source_class: "LMDB"
  memory_data_param { source: "many" batch_size: 2 channels: 1 height: 6 width: 6 } }
"""
MODULES = {
    "honest_layers": """
import caffe
class Same(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data
""",
    "raises": "raise RuntimeError('at import')\n",
    "exits": "import sys; sys.exit(7)\n",
    "no_syntax": "def x(:\n",
    "imports": "import there_is_no_such_module\n",
}
PATHS = (
    "one.png", "two.jpg", "honest.h5", "nothing", "", ".", "..", "/", "/dev/zero", "/dev/null",
    "a\0b", "a b.png", "\udcff", "one.png/", "damaged", "fifo", "x" * 5000, "#", "ä.png", "1e9",
)  # fmt: skip
NAMES = (
    *MODULES, "honest_layers.py", "honest_layers.sub", "os.path", "json.tool", ".", "..", ".rel",
    "a..b", "raises.py", "no_syntax.x", "é", "x" * 5000, "", " ", "a\0b", "LMDB", "com.x.LMDB",
    "honest_layers.Same", "exits.X", "os", "..X", "/", "a/b", "1", "Same", "Layer", "caffe",
)  # fmt: skip

Change = Callable[[bytes, random.Random], bytes]
Kind = tuple[list[bytes], Change, Callable[[str], object]]


def list_kinds(folder: Path, device: str) -> dict[str, Kind]:
    """Examples, damage and reader of each kind; the files that honest ones name are in `folder`."""
    import cv2
    import h5py

    for number, name in enumerate(("one.png", "two.jpg")):
        picture = np.full((9, 8, 3), number, np.uint8)
        (folder / name).write_bytes(cv2.imencode(name[-4:], picture)[1].tobytes())
    with h5py.File(folder / "honest.h5", "w") as file:
        file["data"], file["label"] = np.zeros((5, 4), np.float32), np.arange(5)
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    os.mkfifo(folder / "fifo")
    (folder / "honest_list.txt").write_text("one.png 0\ntwo.jpg 1\n")
    windows = "# 0\none.png\n3 9 8\n3\n1 0.9 1 1 5 6\n0 0.1 0 0 7 8\n2 0.6 3 2 4 4\n"
    windows += "# 1\ntwo.jpg\n3 9 8\n1\n0 0.2 2 2 6 6\n"
    mean = array_to_blob_proto(np.ones((1, 3, 8, 9), np.float32)).SerializeToString()
    return {
        "list": (
            [b"one.png 0\ntwo.jpg 1\none.png 2\n", b"one.png 1\n"],
            words_changed(PATHS),
            _run(PICTURES, device),
        ),
        "list.h5": (
            [b"honest.h5 honest.h5\n", b"honest.h5\n"],
            words_changed(PATHS),
            _run(ROWS, device),
        ),
        "windows": ([windows.encode()], words_changed(PATHS), _run(WINDOWS, device)),
        "mean_file": ([mean], bytes_changed, _mean(device)),
        "module": ([_message(PYTHON), _message(SOURCE)], _names_changed, _run("", device)),
        "archive": (_archives(), _archive_changed, _read_archive),
    }


def words_changed(others: tuple[str, ...]) -> Change:
    """Damage to words and lines: other paths and numbers, words that come and go; or to bytes."""

    def change(data: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.25:
            return bytes_changed(data, chance)
        lines = [line.split(b" ") for line in data.split(b"\n")]
        for _ in range(chance.choice((1, 1, 2, 4))):
            line = chance.choice(lines)
            at, kind = chance.randrange(len(line)), chance.randrange(7)
            if kind < 2:
                line[at] = chance.choice(others).encode("utf-8", "surrogateescape")
            elif kind < 4:
                line[at] = chance.choice(NUMBERS).encode()
            elif kind == 4:
                line.insert(at, chance.choice((b"", b"\t", b"0", b"-1", b"9" * 5000)))
            elif kind == 5:
                lines.insert(chance.randrange(len(lines)), [b""] if at else list(line))
            elif len(line) > 1:
                del line[at]
        return b"\n".join(b" ".join(line) for line in lines)

    return change


def _names_changed(data: bytes, chance: random.Random) -> bytes:
    """Another name of a module, a class or a source."""
    param = pb.NetParameter.FromString(data)
    layer = param.layer[-1]
    name, other = chance.choice(NAMES), chance.choice(NAMES)
    if layer.type == "Python":
        layer.python_param.module = name
        layer.python_param.layer = other if chance.random() < 0.4 else "Same"
    else:
        layer.source_class = f"{name}.{other}" if chance.random() < 0.5 else name
    content: bytes = param.SerializeToString()
    return content


def _message(text: str) -> bytes:
    content: bytes = parse_text(text, pb.NetParameter()).SerializeToString()
    return content


def _run(text: str, device: str) -> Callable[[str], object]:
    """Build and run a net of a prototxt; without one, of the message in the file."""

    def read(path: str) -> None:
        param = pb.NetParameter()
        if text:
            parse_text(text, param)
        else:
            param.ParseFromString(Path(path).read_bytes())
        for phase in (minicaffe.TRAIN, minicaffe.TEST):
            net = Net(param, phase, device=device)
            try:
                for _ in range(2):
                    net.forward_pass()
            finally:
                net.close()

    return read


def _mean(device: str) -> Callable[[str], object]:
    run = _run(MEAN, device)
    return lambda path: (read_mean(path), run(path))


def _archives() -> list[bytes]:
    """Each behind a byte that says which it is."""
    pixels = bytes(range(200)) * 4
    idx = struct.pack(">IIII", IMAGES, 2, 20, 20) + pixels
    batch = bytes(2 * RECORD)
    return [
        b"i" + idx,
        b"i" + gzip.compress(idx),
        b"c" + batch[:RECORD],
        b"x" + lzma.compress(batch),
    ]


def _archive_changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed; or what unpacks to far more than it says."""
    kind, packed = data[:1], data[1:]
    if chance.random() < 0.02:
        size = chance.choice((1 << 20, 1 << 25))
        bomb = bytes(size)
        return (
            b"i" + gzip.compress(bomb, 1) if kind == b"i" else b"x" + lzma.compress(bomb, preset=0)
        )
    return kind + bytes_changed(packed, chance)


def _read_archive(path: str) -> None:
    content = Path(path).read_bytes()
    kind, packed = content[:1], content[1:]
    Path("batch.bin.xz").unlink(missing_ok=True)
    Path("batch.bin").unlink(missing_ok=True)
    if kind == b"i":
        Path(path).write_bytes(packed)
        read_idx(path, IMAGES)
    else:
        Path("batch.bin.xz" if kind == b"x" else "batch.bin").write_bytes(packed)
        read_batch("batch.bin")
