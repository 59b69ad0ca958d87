"""What the fuzzer reads: for each kind of file honest examples, a way to damage, and a reader.

A reader gets a path and either returns or raises `minicaffe.errors.Error`.
"""

import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minicaffe
from minicaffe import context
from minicaffe.data.database import parse_datum
from minicaffe.data.datum import picture_of
from minicaffe.data.image_list import read_picture, resized
from minicaffe.data.lmdb_file import LmdbReader
from minicaffe.data.lmdb_writer import LmdbWriter
from minicaffe.layer import known_types
from minicaffe.layer_example import example_text, needs_files
from minicaffe.net.net import Net
from minicaffe.net.weights import load_weights, save_weights_hdf5
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.blob_proto import array_to_blob_proto, blob_from_proto
from minicaffe.proto.files import (
    read_binary,
    read_net,
    read_net_binary,
    read_solver,
    write_binary,
)
from minicaffe.proto.text import format_text, parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver
from minicaffe.solver.state_file import load_state
from tests.fuzz.fuzz_leveldb import leveldb_changed, leveldb_examples, read_leveldb
from tests.fuzz.fuzz_lists import list_kinds
from tests.fuzz.fuzz_mutations import bytes_changed, message_changed, schema_words, text_changed
from tests.fuzz.fuzz_sequence import key_examples, read_key, read_sequence, sequence_examples

DEVICE = "reference"
SMALL = 100_000  # values in all blobs, and work, up to which a net is also run

NET = """
name: "small"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 }
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 } }
layer { name: "relu" type: "ReLU" bottom: "p" top: "p" }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "y"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.1 } } }
"""
OLD_NET = """
name: "old" input: "x" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 5
layers { name: "conv" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 2 kernel_size: 3 } }
layers { name: "pool" type: POOLING bottom: "c" top: "p" pooling_param { kernel_size: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "p" top: "y"
  inner_product_param { num_output: 4 } }
"""
OLDEST_NET = """
name: "oldest" input: "x" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 5
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "q" }
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 group: 1
  weight_filler { type: "xavier" } } bottom: "q" top: "c" }
layers { layer { name: "relu" type: "relu" } bottom: "c" top: "c" }
layers { layer { name: "ip" type: "innerproduct" num_output: 4 } bottom: "c" top: "y" }
"""
TRAINED = """
layer { name: "x" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = f"""
base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 momentum: 0.9 weight_decay: 0.01 max_iter: 9
test_iter: 1 test_interval: 5 random_seed: 3 type: "SGD" clip_gradients: 3 snapshot_prefix: "s"
net_param {{ {TRAINED} }}
"""
ROWS = """
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "rows.txt" batch_size: 3 } }
"""
DATA = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "damaged" backend: LMDB batch_size: 4 prefetch: 1 } }
"""


@dataclass(frozen=True)
class Target:
    """A kind of file."""

    examples: list[bytes]
    change: Callable[[bytes, random.Random], bytes]
    read: Callable[[str], object]
    name: str = "damaged"  # of the file


def targets(folder: Path) -> dict[str, Target]:
    """All kinds by name; their honest files are made in `folder`, which is the current one."""
    words = schema_words()
    context.set_random_seed(1)
    net = Net(parse_text(NET, pb.NetParameter()), minicaffe.TEST, device=DEVICE)
    solver = _trained_solver(folder)
    state = (folder / "t.solverstate").read_bytes()
    given = net.to_proto()
    for layer in given.layer:
        layer.ClearField("phase")
    return {
        "net": Target(
            [example_text(name).encode() for name in known_types() if not needs_files(name)]
            + [text.encode() for text in (NET, OLD_NET, OLDEST_NET, TRAINED)]
            + [format_text(given).encode()],
            lambda data, chance: _text_or_message(data, chance, pb.NetParameter, words),
            _build_net,
        ),
        "solver": Target(
            [SOLVER.encode()],
            lambda data, chance: _text_or_message(data, chance, pb.SolverParameter, words),
            _build_solver,
        ),
        "weights": Target(
            [net.to_proto().SerializeToString(), _old_weights(net)],
            lambda data, chance: _bytes_or_message(data, chance, pb.NetParameter),
            lambda path: (read_net_binary(path), load_weights(net, path)),
        ),
        "state": Target(
            [state, _of_caffe(state)],
            lambda data, chance: _bytes_or_message(data, chance, pb.SolverState),
            solver.restore,
        ),
        "mean": Target(
            [array_to_blob_proto(np.ones((1, 3, 4, 5))).SerializeToString()],
            lambda data, chance: _bytes_or_message(data, chance, pb.BlobProto),
            lambda path: blob_from_proto(read_binary(path, pb.BlobProto())),
        ),
        "datum": Target(
            _datums(),
            lambda data, chance: _bytes_or_message(data, chance, pb.Datum),
            _read_datum,
        ),
        "lmdb": Target(_databases(folder), _pages_changed, _read_lmdb),
        "weights.h5": Target([_weights_hdf5(net, folder)], _hdf5_changed, _load(net)),
        "state.h5": Target(
            [(folder / "t.solverstate.h5").read_bytes(), _hdf5_of_caffe(folder)],
            _hdf5_changed,
            solver.restore,
        ),
        "picture": Target(_pictures(), _picture_changed, _read_picture),
        "sequence": Target(sequence_examples(folder), bytes_changed, read_sequence),
        "sample_key": Target(key_examples(), bytes_changed, read_key),
        "leveldb": Target(leveldb_examples(folder), leveldb_changed, read_leveldb),
        "rows.h5": Target([_rows_hdf5(folder)], _hdf5_changed, _read_rows, "rows.h5"),
        **{kind: Target(*parts) for kind, parts in list_kinds(folder, DEVICE).items()},
    }


# --- prototxt ------------------------------------------------------------------------------------


def _text_or_message(data: bytes, chance: random.Random, schema: Any, words: list[str]) -> bytes:
    if chance.random() < 0.5:
        message = parse_text(data.decode(), schema())
        message_changed(message, chance)
        return format_text(message).encode("utf-8", "surrogateescape")
    if chance.random() < 0.2:
        return bytes_changed(data, chance)
    return text_changed(data, chance, words)


def _build_net(path: str) -> None:
    param = read_net(path)
    for phase in (minicaffe.TEST, minicaffe.TRAIN):
        context.set_random_seed(1)
        net = Net(param, phase, device=DEVICE)
        try:
            _run(net)
        finally:
            net.close()


def _run(net: Net) -> None:
    """Forward and backward, where that does not take long."""
    if sum(blob.count() for node in net.nodes for blob in node.tops) > SMALL:
        return
    if sum(blob.count() for layer in net.layers for blob in layer.blobs) > SMALL:
        return
    net.forward_pass()
    if net.phase == minicaffe.TRAIN:
        net.clear_param_diffs()
        net.backward_pass()


def _build_solver(path: str) -> None:
    solver = create_solver(read_solver(path), device=DEVICE)
    try:
        nets = [solver.net, *solver.test_nets]
        small = all(
            sum(blob.count() for node in net.nodes for blob in node.tops) <= SMALL for net in nets
        )
        loops = max([solver.param.iter_size, *solver.param.test_iter])
        if small and loops <= 4:
            solver.step(2)
    finally:
        solver.close()


# --- messages ------------------------------------------------------------------------------------


def _bytes_or_message(data: bytes, chance: random.Random, schema: Any) -> bytes:
    if chance.random() < 0.5:
        return bytes_changed(data, chance)
    message = schema()
    message.ParseFromString(data)
    message_changed(message, chance)
    changed: bytes = message.SerializePartialToString()
    return bytes_changed(changed, chance) if chance.random() < 0.1 else changed


def _old_weights(net: Net) -> bytes:
    """The same weights as a file of 2014: V1 layers, blobs with four extents."""
    old = pb.NetParameter(name="old")
    for layer in net.layers:
        copy = old.layers.add(name=layer.name)
        for blob in layer.blobs:
            proto = array_to_blob_proto(np.asarray(blob.data))
            extents = (1,) * (4 - blob.num_axes) + blob.shape
            proto.num, proto.channels, proto.height, proto.width = extents
            proto.ClearField("shape")
            copy.blobs.append(proto)
    return old.SerializeToString()


def _trained_solver(folder: Path) -> Solver:
    param = parse_text(SOLVER, pb.SolverParameter())
    param.snapshot_prefix = "t"
    solver = create_solver(param, device=DEVICE)
    for kind in (pb.SolverParameter.HDF5, pb.SolverParameter.BINARYPROTO):
        solver.param.snapshot_format = kind
        solver.step(1)
        solver.snapshot()
    for path in folder.glob("t_iter_*"):
        path.rename(folder / path.name.replace(f"_iter_{path.name[7]}", ""))
    for name in ("t.solverstate", "t.solverstate.h5"):
        state = load_state(name)
        state.learned_net = "t.caffemodel" if name.endswith("state") else "t.caffemodel.h5"
        if name.endswith("state"):
            write_binary(name, state)
        else:
            _rename_weights(name, state.learned_net)
    return solver


def _of_caffe(state: bytes) -> bytes:
    """The same state without what Caffe does not write: whatever it holds is looked at."""
    plain = pb.SolverState.FromString(state)
    for field in ("weights_checksum", "checksum", "random_state"):
        plain.ClearField(field)
    content: bytes = plain.SerializeToString()
    return content


def _hdf5_of_caffe(folder: Path) -> bytes:
    """The same in HDF5."""
    import h5py

    buffer = io.BytesIO((folder / "t.solverstate.h5").read_bytes())
    with h5py.File(buffer, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        del file["random_state"]
    return buffer.getvalue()


def _rename_weights(path: str, weights: str) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        del file["learned_net"]
        file["learned_net"] = np.array(weights.encode(), f"S{len(weights) + 1}")


def _datums() -> list[bytes]:
    pixels = bytes(range(48))
    plain = pb.Datum(channels=3, height=4, width=4, data=pixels, label=1)
    real = pb.Datum(channels=1, height=2, width=2, float_data=[0.5, 1, 2, 3], label=1)
    made = [plain, real]
    import cv2

    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for extension in (".png", ".jpg", ".bmp"):
        file = cv2.imencode(extension, picture)[1].tobytes()
        made.append(pb.Datum(channels=3, height=8, width=8, data=file, encoded=True, label=1))
    return [datum.SerializeToString() for datum in made]


def _pictures() -> list[bytes]:
    import cv2

    picture = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(24, 16, 3)
    kinds = (".png", ".jpg", ".bmp", ".gif", ".webp", ".tiff", ".ppm")
    return [cv2.imencode(kind, picture)[1].tobytes() for kind in kinds if cv2.haveImageWriter(kind)]


def _picture_changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, or a size that is far too large where the size stands."""
    places = {b"\x89P": ((16, 20), 4), b"BM": ((18, 22), 4), b"GI": ((6, 8), 2)}
    if data[:2] not in places or chance.random() < 0.6:
        return bytes_changed(data, chance)
    starts, width = places[data[:2]]
    changed = bytearray(data)
    for start in starts:
        if chance.random() < 0.8:
            number = chance.choice((0, 1, 17, 9999, 20000, 40000, 65535, 1 << 20, 2**31 - 1))
            number &= (1 << 8 * width) - 1
            changed[start : start + width] = number.to_bytes(
                width, "big" if data[:2] == b"\x89P" else "little"
            )
    if data[:2] == b"\x89P":  # its checksum, without which nobody reads further
        changed[29:33] = zlib.crc32(changed[12:29]).to_bytes(4, "big")
    return bytes(changed)


def _read_picture(path: str) -> None:
    for color in (True, False):
        resized(read_picture(path, "list:1", color=color), 9, 9)


def _read_datum(path: str) -> None:
    datum = parse_datum(Path(path).read_bytes(), b"key", path)
    for channels in (0, 1, 3):
        picture_of(datum, channels)


# --- LMDB ----------------------------------------------------------------------------------------


def _databases(folder: Path) -> list[bytes]:
    """A database of small records on several pages, and one with values in pages of their own."""
    made = []
    for name, count, side in (("many", 60, 6), ("large", 6, 70)):
        with LmdbWriter(folder / name) as writer:
            for index in range(count):
                pixels = bytes([index]) * (side * side)
                datum = pb.Datum(channels=1, height=side, width=side, data=pixels, label=index)
                writer.put(b"%08d" % index, datum.SerializeToString())
        made.append((folder / name / "data.mdb").read_bytes())
    return made


def _pages_changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed where the structure is: in the first bytes of pages, and around nodes."""
    if chance.random() < 0.3:
        return bytes_changed(data, chance)
    size = 4096
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        page = chance.randrange(max(len(changed) // size, 1)) * size
        at = page + chance.choice((chance.randrange(160), chance.randrange(size)))
        piece = bytes_changed(bytes(changed[at : at + 8]), chance)[:8]
        changed[at : at + len(piece)] = piece
    return bytes(changed)


def _read_lmdb(path: str) -> None:
    with LmdbReader(path) as reader:
        for key, value in reader.items():
            parse_datum(value, key, path)
            reader.get(key)
            break
        list(reader.records())
    net = Net(parse_text(DATA, pb.NetParameter()), minicaffe.TEST, device=DEVICE)
    try:
        net.forward_pass()
        net.forward_pass()
    finally:
        net.close()


# --- HDF5 ----------------------------------------------------------------------------------------


def _weights_hdf5(net: Net, folder: Path) -> bytes:
    save_weights_hdf5(net, str(folder / "honest.caffemodel.h5"))
    return (folder / "honest.caffemodel.h5").read_bytes()


def _load(net: Net) -> Callable[[str], object]:
    return lambda path: load_weights(net, path)


def _rows_hdf5(folder: Path) -> bytes:
    import h5py

    (folder / "rows.txt").write_text("rows.h5\n")
    with h5py.File(folder / "honest_rows.h5", "w") as file:
        file["data"] = np.arange(7 * 4, dtype=np.float32).reshape(7, 4)
        file.create_dataset(
            "label",
            data=np.arange(7),
            chunks=(2,),
            compression="gzip",
            shuffle=True,
            fletcher32=True,
        )
    return (folder / "honest_rows.h5").read_bytes()


def _read_rows(path: str) -> None:
    net = Net(parse_text(ROWS, pb.NetParameter()), minicaffe.TEST, device=DEVICE)
    try:
        for _ in range(4):
            net.forward_pass()
    finally:
        net.close()


def _hdf5_changed(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed, or datasets exchanged for others."""
    return bytes_changed(data, chance) if chance.random() < 0.6 else _datasets_changed(data, chance)


def _datasets_changed(data: bytes, chance: random.Random) -> bytes:
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = chance.choice(names)
        old = file[name]
        shape = getattr(old, "shape", (2,))
        del file[name]
        kind = chance.randrange(13)
        if kind == 0:
            file.create_group(name)
        elif kind == 1:
            file[name] = np.array(b"text")
        elif kind == 2:
            file[name] = np.full(shape, 7, chance.choice(["i1", "u8", "f8", "f2", "?", "c8"]))
        elif kind == 3:
            file.create_dataset(name, (2**20, 2**14), "f4", chunks=(1, 1024))
        elif kind == 4:
            file.create_dataset(name, (2**26,), "f4")
        elif kind == 5:
            file[name] = np.float32(3)
        elif kind == 6:
            file[name] = h5py.Empty("f4")
        elif kind == 7:
            file[name] = h5py.SoftLink("/" + chance.choice(names))
        elif kind == 8:
            file[name] = h5py.ExternalLink("honest_rows.h5", "/data")
        elif kind == 9:
            layout = h5py.VirtualLayout((2**28, 4), "f4")
            file.create_virtual_dataset(name, layout, fillvalue=0)
        elif kind == 10:
            file.create_dataset(name, (2**28,), "f4", external=[("/dev/zero", 0, 2**30)])
        elif kind == 11 and shape:
            packed = file.create_dataset(
                name, shape, "f4", chunks=shape, fletcher32=True, compression="gzip"
            )
            packed.id.write_direct_chunk(
                (0,) * len(shape), chance.randbytes(chance.randrange(1, 9))
            )
    return buffer.getvalue()
