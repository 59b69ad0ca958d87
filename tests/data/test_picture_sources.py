"""Sources of pictures besides Caffe's databases: the same samples, in the order of their ids."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data import sequence_file
from minicaffe.data.database import create_database
from minicaffe.data.sample_key import SampleKey, write_sample_key
from minicaffe.data.sequence_writer import SequenceFileWriter
from minicaffe.data.source import Order, open_source
from minicaffe.data.sources import seq_image_data_source
from minicaffe.errors import DataError
from minicaffe.machine.file_system import upload
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from tests.far_files import object_store

cv2 = pytest.importorskip("cv2")

Item = tuple[SampleKey, bytes]


def pixels(i: int, height: int = 6, width: int = 5) -> np.ndarray:
    """A colour picture as OpenCV has it, (height, width, channels)."""
    size = height * width * 3
    return (np.arange(size) * 7 + 11 * i).astype(np.uint8).reshape(height, width, 3)


def png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])


def raw(i: int) -> Item:
    return SampleKey(f"{i:08d}", str(i), 3, 6, 5, False), pixels(i).tobytes()


def write(path: Path, items: list[Item], compression: str = "NONE") -> Path:
    with SequenceFileWriter(path, compression) as out:
        for key, value in items:
            out.put(write_sample_key(key), value)
    return path


def memory(
    path: Path | str, batch: int = 4, more: str = "", kind: str = "SeqImageDataSource"
) -> str:
    return (
        'name: "m" type: "MemoryData" top: "data" top: "label"'
        f' source_class: "com.yahoo.ml.caffe.{kind}" transform_param {{ mirror: true }}'
        f' memory_data_param {{ source: "{path}" batch_size: {batch} {more} }}'
    )


Opened = Callable[..., Any]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens sources, and closes them after the test."""
    sources = ExitStack()

    def opened(path: Path | str, more: str = "") -> Any:
        param = parse_text(memory(path, more=more), pb.LayerParameter())
        return sources.enter_context(open_source(param.source_class, param, pb.TEST))

    with sources:
        yield opened


@pytest.mark.parametrize("compression", ["NONE", "RECORD", "BLOCK"])
def test_the_batches_of_an_lmdb_in_whatever_files(tmp_path: Path, compression: str) -> None:
    with create_database(tmp_path / "lmdb") as out:
        for i in range(10):
            datum = pb.Datum(channels=3, height=6, width=5, label=i)
            datum.data = pixels(i).transpose(2, 0, 1).tobytes()
            out.put(f"{i:08d}".encode(), datum.SerializeToString())
    items = [raw(i) for i in range(10)]
    random.Random(3).shuffle(items)
    (tmp_path / "seq").mkdir()
    for part, some in enumerate((items[:3], [], items[3:])):
        write(tmp_path / "seq" / f"part-{part:05d}", some, compression)
    (tmp_path / "seq" / "_SUCCESS").touch()
    (tmp_path / "seq" / ".part-00000.crc").write_bytes(b"crc")
    batches = []
    for text in (memory(tmp_path / "lmdb", kind="LMDB"), memory(tmp_path / "seq")):
        net_text = f"layer {{ {text} }}"
        with context.fresh("reference") as here:
            here.data_seed = 7
            net = Net(parse_text(net_text, pb.NetParameter()), pb.TRAIN)
            for _ in range(6):  # into the third epoch
                net.forward_pass()
                batches.append([np.array(net.blob_dict[name].data) for name in ("data", "label")])
            net.close()
    for lmdb, sequence in zip(batches[:6], batches[6:], strict=True):
        for left, right in zip(lmdb, sequence, strict=True):
            assert np.array_equal(left, right)


def test_what_a_key_says_of_its_picture(tmp_path: Path, opened: Opened) -> None:
    picture = pixels(1)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    items = [
        (SampleKey("a", "1.5"), png(picture)),  # a file; labels need not be whole
        (SampleKey("b", "-2", 3, 6, 5, True), png(picture)),
        (SampleKey("c", "3", 3, 6, 5, False), picture.tobytes()),
        (SampleKey("d", "4", 1, 0, 0, False), picture.tobytes()),  # of the layer's shape
        (SampleKey("e", "5"), png(grey)),  # decoded as the layer needs it
    ]
    source = opened(write(tmp_path / "part", items), "channels: 3 height: 6 width: 5")
    samples = [source.read(i) for i in range(len(source))]
    assert [sample.id for sample in samples] == list("abcde")
    assert [float(sample.values[1]) for sample in samples] == [1.5, -2, 3, 4, 5]
    for sample in samples[:4]:
        assert np.array_equal(sample.values[0], picture.transpose(2, 0, 1))
    assert np.array_equal(samples[4].values[0], np.stack([grey] * 3))


def test_pictures_of_many_sizes_are_scaled_or_cut(tmp_path: Path, opened: Opened) -> None:
    sizes = [(6, 5), (9, 14), (31, 8), (6, 20)]
    items = [(SampleKey(str(i), "0"), png(pixels(i, *size))) for i, size in enumerate(sizes)]
    path = write(tmp_path / "part", items)
    source = opened(path, "channels: 3 height: 4 width: 7 resize: true")
    assert [source.read(i).values[0].shape for i in range(4)] == [(3, 4, 7)] * 4
    as_they_are = opened(path)
    assert [as_they_are.read(i).values[0].shape[1:] for i in range(4)] == sizes
    text = memory(path).replace("mirror: true", "crop_size: 5")
    net = Net(parse_text(f"layer {{ {text} }}", pb.NetParameter()), pb.TRAIN)
    net.forward_pass()
    assert net.blob_dict["data"].shape == (4, 3, 5, 5)
    net.close()
    net = Net(parse_text(f"layer {{ {memory(path)} }}", pb.NetParameter()), pb.TEST)
    net.forward_pass()
    assert net.blob_dict["data"].shape == (1, 3, 6, 5)  # the others are left out
    assert "sample 2 has shape (3, 31, 8)" in net.layers[0].batches.bad[2]
    net.close()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((SampleKey("x", "cat"), png(pixels(0))), "its label must be a number, not 'cat'"),
        ((SampleKey("x", "nan"), png(pixels(0))), "its label must be a number, not 'nan'"),
        ((SampleKey("x", "1"), b"no picture"), "cannot be decoded"),
        ((SampleKey("x", "1", 3, 5, 6, True), png(pixels(0))), "of 5 x 6 that is 6 x 5 when"),
        ((SampleKey("x", "1", 3, 6, 5, False), b"123"), "3 bytes for a picture of 3 x 6 x 5"),
        ((SampleKey("x", "1", 1, 0, 0, False), b"123"), "3 bytes for a picture of 0 x 0 x 0"),
    ],
)
def test_a_bad_sample_is_named_and_the_others_keep_their_places(
    tmp_path: Path, opened: Opened, item: Item, message: str
) -> None:
    source = opened(write(tmp_path / "part", [item, raw(0), raw(1)]))
    assert [source.read(i).id for i in (0, 1)] == ["00000000", "00000001"]
    with pytest.raises(DataError, match=f"sample x in {tmp_path}/part: .*{message}"):
        source.read(2)


def test_a_key_that_is_none_costs_one_sample(tmp_path: Path, opened: Opened) -> None:
    with SequenceFileWriter(tmp_path / "part") as out:
        out.put(b"00000000", b"value")
        out.put(write_sample_key(raw(1)[0]), raw(1)[1])
    source = opened(tmp_path / "part")
    assert len(source) == 2
    assert source.read(1).id == "00000001"
    with pytest.raises(DataError, match=r"sample .*/part:\d+ in .* no Java object"):
        source.read(0)


def test_a_source_that_is_not_there(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(DataError, match="no SequenceFile at .*nothing of that name"):
        opened(tmp_path / "nothing")
    with pytest.raises(DataError, match="the folder has no files of data"):
        opened(tmp_path)
    with pytest.raises(DataError, match="source must be given"):
        open_source("SeqImageDataSource", pb.LayerParameter(name="data"), pb.TEST)


def test_an_epoch_of_many_blocks_unpacks_each_once(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (3, 200, 300)  # six of them to a block
    items = [
        (SampleKey(f"{i:03d}", str(i), *shape, False), bytes([i]) * (3 * 200 * 300))
        for i in range(60)
    ]
    write(tmp_path / "part-0", items[:25], "BLOCK")
    write(tmp_path / "part-1", items[25:], "BLOCK")
    fitting = opened(tmp_path).groups
    assert fitting is not None and fitting.fit
    for module in (sequence_file, seq_image_data_source):
        monkeypatch.setattr(module, "KEPT", 3_000_000)
    source = opened(tmp_path)
    unpacked: Counter[tuple[Path, int]] = Counter()
    keep = sequence_file.Blocks.keep
    monkeypatch.setattr(
        sequence_file.Blocks,
        "keep",
        lambda self, *block: (unpacked.update([block[:2]]), keep(self, *block)),
    )
    order = Order(60, 5, shuffle=True, seed=3, groups=source.groups)
    labels = [source.read(place.index) for k in range(12) for place in order.places(k)]
    assert sorted(int(sample.values[1]) for sample in labels) == list(range(60))
    assert len(unpacked) == 11 and set(unpacked.values()) == {1}
    (tmp_path / "part-1").rename(tmp_path / "part-")  # the ids are now in another order
    assert opened(tmp_path).groups is not None
    write(tmp_path / "part-", items[::2], "BLOCK")
    write(tmp_path / "part-0", items[1::2], "BLOCK")
    assert opened(tmp_path).groups is None  # any place, then, is shuffled to any other


def test_files_in_an_object_store(tmp_path: Path, opened: Opened) -> None:
    local = write(tmp_path / "part", [raw(i) for i in range(5)], "BLOCK")
    with object_store() as bucket:
        upload(local, f"{bucket}/seq/part-00000")
        source = opened(f"{bucket}/seq")
        assert [float(source.read(i).values[1]) for i in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(DataError, match=f"no database at {bucket}/nothing"):
            opened(f"{bucket}/nothing")


def test_many_files_are_not_open_at_once(tmp_path: Path, opened: Opened) -> None:
    for i in range(40):
        write(tmp_path / f"part-{i:05d}", [raw(i)])
    source = opened(tmp_path)
    assert [float(source.read(i).values[1]) for i in reversed(range(40))] == [*range(39, -1, -1)]
    assert len(source._readers) == 32
