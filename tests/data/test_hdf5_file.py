"""HDF5 files of all sorts: read, or refused with the file's name; and no size taken on trust."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe
from minicaffe.data.hdf5_file import UNSTORED, Hdf5File
from minicaffe.errors import DataError, MissingExtra, SnapshotError
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights, save_weights_hdf5
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.state_file import load_state, save_state_hdf5

h5py: Any = pytest.importorskip("h5py")

HUGE = (UNSTORED // 4 + 1,)  # floats


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a bit of everything."""
    made = tmp_path / "file.h5"
    with h5py.File(made, "w") as file:
        file["group/numbers"] = np.arange(6, dtype=np.int64).reshape(2, 3)
        file["wide"] = np.array([1e300, -1.5])
        file["whole"] = np.int16(7)
        file["text"] = np.array(b"abc", "S4")
        file["words"] = ["ü"]
        file.create_group(b"odd/\xff")
        file["complex"] = np.ones(2, np.complex64)
        file["none"] = h5py.Empty("f4")
        file["circle"] = h5py.SoftLink("/circle")
        file.create_dataset("packed", data=np.zeros(10**6, np.float32), compression="gzip")
        file.create_dataset("fill", (5,), "f4", fillvalue=2)
        file.create_dataset("huge", HUGE, "f4")
        file.create_dataset("vast", (2**20, 2**20), "f4", chunks=(1, 1024))
        file.create_dataset(
            "chunk", (2**20,), "f4", chunks=(2**30,), maxshape=(None,), compression="gzip"
        )
    return made


@pytest.fixture
def file(path: Path) -> Any:
    """That file, open."""
    with Hdf5File(path, DataError) as opened:
        yield opened


def test_numbers_are_read_as_they_are(file: Hdf5File) -> None:
    assert file.names("group") == ["numbers"]
    assert file.shape("group/numbers") == (2, 3)
    assert file.read("group/numbers").dtype == np.int64
    assert file.read_float32("group/numbers").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert file.read_float32("wide").tolist() == [np.inf, -1.5]
    assert file.read_float32("packed").shape == (10**6,)
    assert file.read_float32("fill").tolist() == [2] * 5
    assert (file.whole_number("whole"), file.text("text"), file.text("words")) == (7, "abc", "ü")


def test_what_is_not_there(file: Hdf5File) -> None:
    assert file.names("odd") == [r"\xff"]
    assert file.names("whole") is None
    assert file.names("nothing") is None
    assert file.shape("group") is None
    assert file.shape("nothing/at/all") is None
    assert file.shape("whole/deeper") is None


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda file: file.read("nothing"), "has no dataset 'nothing'"),
        (lambda file: file.read("group"), "has no dataset 'group'"),
        (lambda file: file.shape("text"), "dataset 'text' of .*file.h5 has type"),
        (lambda file: file.shape("complex"), "has type complex64"),
        (lambda file: file.shape("none"), "dataset 'none' of .* has type float32"),
        (lambda file: file.shape("circle"), "is damaged at 'circle'"),
        (lambda file: file.whole_number("wide"), "'wide' of .* holds no whole number"),
        (lambda file: file.text("whole"), "'whole' of .* holds no text"),
        (lambda file: file.text("group"), "'group' of .* holds no text"),
        (lambda file: file.read("huge"), r"shape \(\d+,\), \d+ bytes, which are not in the file"),
        (lambda file: file.read("vast"), "which are not in the file"),
        (lambda file: file.read("chunk"), "which are not in the file"),
    ],
)
def test_what_is_wrong_is_named(
    file: Hdf5File, ask: Callable[[Hdf5File], object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        ask(file)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n and no more"])
def test_what_is_no_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SnapshotError, match="cannot read HDF5 file .*x: "):
        Hdf5File(tmp_path / "x", SnapshotError)


def test_the_library_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"a book needs h5py: pip install 'minicaffe\[hdf5\]'"):
        Hdf5File(path, DataError, "a book")


# --- nothing but the file itself, and nothing unpacked by libhdf5 ---------------------------------


def _packed(path: Path, chunk: bytes, **options: Any) -> Hdf5File:
    """A file whose first chunk of four float32 holds these bytes instead."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("d", (4,), "f4", chunks=(4,), **options)
        data[...] = np.arange(4)
        data.id.write_direct_chunk((0,), chunk)
    return Hdf5File(path, DataError)


@pytest.mark.parametrize(
    ("chunk", "options", "says"),
    [
        (b"12", {"fletcher32": True}, "shorter than its checksum"),
        (b"1234", {"fletcher32": True, "shuffle": True}, "checksum|0 bytes"),
        (bytes(15) + b"\x01" + bytes(4), {"fletcher32": True}, "checksum of a chunk"),
        (zlib.compress(bytes(3)), {"compression": "gzip"}, "has 3 bytes, not 16"),
        (zlib.compress(bytes(1 << 26)), {"compression": "gzip"}, "bytes, not 16"),
        (b"nonsense", {"compression": "gzip"}, "is damaged at 'd'"),
        (bytes(16), {"compression": "lzf"}, "filter 32000 .lzf. is not read: store it with gzip"),
    ],
)
def test_a_chunk_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, chunk: bytes, options: dict[str, Any], says: str
) -> None:
    with _packed(tmp_path / "x.h5", chunk, **options) as file, pytest.raises(DataError, match=says):
        file.read("d")


@pytest.mark.parametrize("kind", ["<f4", ">f4", "i8", "u1", ">i2", "f8", "?"])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (3, 4, 5)])
def test_chunks_are_read_as_libhdf5_reads_them(
    tmp_path: Path, kind: str, shape: tuple[int, ...]
) -> None:
    values = np.random.default_rng(1).integers(0, 100, shape).astype(kind)
    chunks = (2,) * len(shape)
    packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, options in (("plain", {}), ("packed", packed), ("sum", {"fletcher32": True})):
            file.create_dataset(name, data=values, chunks=chunks, **options)
        file.create_dataset("some", shape, kind, chunks=chunks, fillvalue=1)[:2] = values[:2]
    with h5py.File(tmp_path / "x.h5") as honest, Hdf5File(tmp_path / "x.h5", DataError) as file:
        for name in honest:
            np.testing.assert_array_equal(file.read(name), honest[name][()])
            assert file.read(name).dtype == kind


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file whose values lie in others, one way for each name; a pipe would wait for ever."""
    (tmp_path / "secret").write_bytes(bytes(48))
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["group/hidden"] = np.zeros(12, np.float32)
    layout = h5py.VirtualLayout((12,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "group/hidden", (12,))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/group/hidden")
        file["folder"] = h5py.ExternalLink("other.h5", "/group")
        file["bend"] = h5py.SoftLink("/folder/hidden")
        file.create_virtual_dataset("virtual", layout)
        for name, where in (("raw", "secret"), ("pipe", "pipe"), ("endless", "/dev/zero")):
            path = str(tmp_path / where)
            file.create_dataset(name, (12,), "f4", external=[(path, 0, 48)])
        file.create_dataset("text", (1,), "S8", external=[(str(tmp_path / "secret"), 0, 8)])
        file["good/values"] = np.arange(3)
        file["good/alias"] = h5py.SoftLink("values")
        file["there"] = h5py.SoftLink("good/alias")
    return tmp_path / "x.h5"


@pytest.mark.parametrize(
    "name", ["link", "folder/hidden", "bend", "virtual", "raw", "pipe", "endless"]
)
def test_no_other_file_is_opened(foreign: Path, name: str) -> None:
    with Hdf5File(foreign, DataError) as file, pytest.raises(DataError, match=r"other file"):
        file.read(name)


def test_text_of_another_file_is_refused(foreign: Path) -> None:
    with Hdf5File(foreign, DataError) as file, pytest.raises(DataError, match=r"in other files"):
        file.text("text")


def test_links_within_a_file_are_followed(foreign: Path) -> None:
    with Hdf5File(foreign, DataError) as file:
        assert file.read("there").tolist() == [0, 1, 2]


def test_what_is_no_file_is_not_opened(foreign: Path) -> None:
    with pytest.raises(DataError, match="pipe: it is no regular file"):
        Hdf5File(foreign.with_name("pipe"), DataError)


# --- what reads them -----------------------------------------------------------------------------

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
"""


def exchange(path: Path, name: str, values: Any) -> None:
    """Put something else in the place of a dataset or a group."""
    with h5py.File(path, "a") as file:
        del file[name]
        if values is None:
            file.create_group(name)
        elif isinstance(values, tuple):
            file.create_dataset(name, values, "f4")
        else:
            file[name] = values


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("data", 1.0, "without the group 'data' holds no weights"),
        ("data/ip/0", None, "no dataset data/ip/0"),
        ("data/ip/0", ["a"], "dataset 'data/ip/0' of .* has type"),
        ("data/ip/0", h5py.Empty("f4"), "dataset 'data/ip/0' of .* has type"),
        ("data/ip/1", HUGE, "data/ip/1 has shape"),
    ],
)
def test_weights(tmp_path: Path, name: str, values: Any, says: str) -> None:
    net = Net(parse_text(NET, pb.NetParameter()), minicaffe.TEST, device="reference")
    path = tmp_path / "w.h5"
    save_weights_hdf5(net, str(path))
    before = np.array(net.flat_params.data, copy=True)
    exchange(path, name, values)
    with pytest.raises(SnapshotError, match=says):
        load_weights(net, str(path))
    assert np.array_equal(np.asarray(net.flat_params.data), before)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("iter", [], "'iter' of .* holds no whole number"),
        ("iter", np.array([2**40]), "iter 1099511627776 is out of range"),
        ("iter", ["7"], "dataset 'iter' of .* has type"),
        ("current_step", 1.5, "'current_step' of .* holds no whole number"),
        ("learned_net", 3, "'learned_net' of .* holds no text"),
        ("learned_net", np.array(b"\xff\xff", "S2"), "is damaged at 'learned_net'"),
        ("history/0", None, "no dataset history/0"),
        ("history/0", HUGE, "dataset 'history/0' of .* which are not in the file"),
        ("history/0", "text", "dataset 'history/0' of .* has type"),
        ("random_state", np.arange(3), "random_state holds no rows of bytes"),
    ],
)
def test_states(tmp_path: Path, name: str, values: Any, says: str) -> None:
    state = pb.SolverState(iter=7, learned_net="w", current_step=1, random_state=[b"abc"])
    state.history.add(data=[1, 2]).shape.dim.append(2)
    path = tmp_path / "s.h5"
    save_state_hdf5(state, str(path))
    assert load_state(str(path)) == state
    exchange(path, name, values)
    with pytest.raises(SnapshotError, match=says):
        load_state(str(path))


def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list").write_text("rows.h5\n")
    with h5py.File("rows.h5", "w") as file:
        file["data"] = np.ones((2, 3))
        file.create_dataset("more", (2, *HUGE), "f4")
    text = 'layer { name: "rows" type: "HDF5Data" top: "data" top: "more" hdf5_data_param { '
    param = parse_text(text + 'source: "list" batch_size: 1 } }', pb.NetParameter())
    net = Net(param, minicaffe.TEST, device="reference")
    with pytest.raises(DataError, match="'more' of rows.h5 .* which are not in the file"):
        net.forward_pass()
    net.close()
