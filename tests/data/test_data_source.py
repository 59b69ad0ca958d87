"""Sources, the order of samples, and batches: nothing lost, nothing repeated, always the same."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data import leveldb_file
from minicaffe.data.batches import Batches
from minicaffe.data.database import create_database
from minicaffe.data.draws import HashedDraws, StreamDraws
from minicaffe.data.source import (
    DataSource,
    Order,
    Place,
    Sample,
    known_sources,
    open_source,
    source_class,
)
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError
from minicaffe.machine.file_system import local_path
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.random_stream.generator import Generator


def record(label: int, shape: tuple[int, int, int] = (1, 2, 3)) -> bytes:
    """A Datum whose first pixel is its label."""
    pixels = (np.arange(np.prod(shape)) + label) % 256
    return pb.Datum(
        channels=shape[0], height=shape[1], width=shape[2],
        data=pixels.astype(np.uint8).tobytes(), label=label,
    ).SerializeToString()  # fmt: skip


def write(path: Path, values: list[bytes], backend: str = "lmdb") -> Path:
    with create_database(path, backend) as database:
        for i, value in enumerate(values):
            database.put(f"{i:08d}".encode(), value)
    return path


def layer(path: Path, **memory: int) -> pb.LayerParameter:
    param = pb.LayerParameter(name="data", type="MemoryData", source_class="LMDB")
    param.memory_data_param.source = str(path)
    for field, value in memory.items():
        setattr(param.memory_data_param, field, value)
    return param


class Windows(DataSource):
    """A user's source, called like one that a layer keeps to itself."""

    def __len__(self) -> int:
        return 1

    def read(self, index: int) -> Sample:
        return Sample("only", (np.zeros((1, 1, 1)), np.zeros(())))

    def close(self) -> None:
        pass


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    return write(tmp_path / "ten", [record(i) for i in range(10)])


# --- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 10, 64])
@pytest.mark.parametrize("batch", [1, 3, 10, 16])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_sample_comes_once_an_epoch(
    size: int, batch: int, world_size: int, shuffle: bool
) -> None:
    orders = [Order(size, batch, shuffle, 5, rank, world_size) for rank in range(world_size)]
    batches = 3 * size // (batch * world_size) + 1
    seen = Counter(place for k in range(batches) for order in orders for place in order.places(k))
    assert set(seen.values()) == {1}
    whole_epochs = batches * batch * world_size // size
    assert {Place(e, i) for e in range(whole_epochs) for i in range(size)} <= set(seen)


@pytest.mark.parametrize(("world_size", "batch"), [(2, 4), (4, 2), (3, 5)])
def test_ranks_together_read_what_one_rank_would(world_size: int, batch: int) -> None:
    alone = Order(17, world_size * batch, True, seed=3)
    ranks = [Order(17, batch, True, 3, rank, world_size) for rank in range(world_size)]
    for k in range(9):
        together = [place for order in ranks for place in order.places(k)]
        assert Counter(together) == Counter(alone.places(k))


def test_the_order_depends_on_seed_and_epoch() -> None:
    order = Order(100, 100, True, seed=1)
    assert order.places(0) == Order(100, 100, True, seed=1).places(0)
    first, second = ([place.index for place in order.places(k)] for k in (0, 1))
    assert first != second
    assert first != [place.index for place in Order(100, 100, True, seed=2).places(0)]
    assert first[:5] == [78, 39, 60, 47, 62]  # the same in every version


# --- sources -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LMDB", "com.yahoo.ml.caffe.LMDB"])
def test_the_last_word_of_source_class_counts(name: str, ten: Path) -> None:
    with open_source(name, layer(ten), pb.TEST) as source:
        assert type(source).__name__ == "LMDB"
        assert len(source) == 10
        sample = source.read(7)
    assert sample.id == "00000007"
    assert sample.values[0].tolist() == [[[7, 8, 9], [10, 11, 12]]]
    assert sample.values[1] == np.float32(7)


def test_a_source_of_ones_own_is_imported() -> None:
    assert source_class(f"{__name__}.Squares").__name__ == "Squares"


def test_the_sources_that_layers_keep_to_themselves_have_no_name_in_source_class() -> None:
    assert {"LMDB", "LevelDB", "SeqImageDataSource"} <= set(known_sources())
    assert not {"Windows", "Hdf5Rows", "ListedImages"} & set(known_sources())
    assert source_class(f"{__name__}.Windows") is Windows


@pytest.mark.parametrize("name", ["Nonesuch", "no.such.Module", "os.path", "collections.Counter"])
def test_an_unknown_source_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(DataError, match=r"LMDB, LevelDB|has no DataSource"):
        source_class(name)


def test_lmdb_and_leveldb_hold_the_same_samples(tmp_path: Path) -> None:
    pytest.importorskip(leveldb_file.LIBRARY)
    values = [record(i, (3, 4, 5)) for i in range(23)]
    lmdb = open_source("LMDB", layer(write(tmp_path / "a", values)), pb.TEST)
    level = open_source("LevelDB", layer(write(tmp_path / "b", values, "leveldb")), pb.TEST)
    with lmdb, level:
        assert len(lmdb) == len(level) == 23
        for i in (22, 0, 11):
            assert lmdb.read(i).id == level.read(i).id
            assert np.array_equal(lmdb.read(i).values[0], level.read(i).values[0])


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_source("LMDB", layer(tmp_path / "nowhere"), pb.TRAIN)


def test_a_truncated_database_is_an_error(ten: Path) -> None:
    data = (ten / "data.mdb").read_bytes()
    (ten / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut short"):
        open_source("LMDB", layer(ten), pb.TRAIN)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/a/b", "/a/b"),
        ("a/b", "a/b"),
        ("./a:b", "./a:b"),
        ("file:/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("file://localhost/a", "/a"),
        ("file:a/b", "a/b"),
        ("FILE:///a", "/a"),
    ],
)
def test_local_paths(url: str, path: str) -> None:
    assert local_path(url) == path


@pytest.mark.parametrize("url", ["hdfs:///a", "s3a://bucket/a", "file://host/a"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(DataError, match=url.split(":")[0]):
        local_path(url)


@pytest.mark.parametrize(("channels", "shape"), [(0, (3, 5, 4)), (1, (1, 5, 4)), (3, (3, 5, 4))])
def test_encoded_pictures(tmp_path: Path, channels: int, shape: tuple[int, ...]) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    path = write(tmp_path / "png", [pb.Datum(encoded=True, data=png, label=4).SerializeToString()])
    with open_source("LMDB", layer(path, channels=channels), pb.TEST) as source:
        picture = source.read(0).values[0]
    assert picture.shape == shape
    if channels != 1:
        assert np.array_equal(picture, pixels.transpose(2, 0, 1))


def test_resize_scales_to_the_layer(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = write(tmp_path / "db", [record(0, (3, 8, 6)), record(0, (3, 4, 2))])
    param = layer(path, channels=3, height=4, width=3, resize=1)
    with open_source("LMDB", param, pb.TEST) as source:
        assert [source.read(i).values[0].shape for i in (0, 1)] == [(3, 4, 3), (3, 4, 3)]


# --- batches -----------------------------------------------------------------------------------


class Squares(DataSource):
    """`size` pictures of one pixel, number i is i; those in `bad` cannot be read."""

    def __init__(self, param: pb.LayerParameter, phase: int, size: int = 10, bad: str = "") -> None:
        super().__init__(param, phase)
        self.size, self.bad, self.closed = size, [int(i) for i in bad.split()], False

    def __len__(self) -> int:
        return self.size

    def read(self, index: int) -> Sample:
        if index in self.bad:
            raise DataError(f"sample {index} is broken")
        return Sample(str(index), (np.full((1, 1, 1), index % 256, np.uint8), np.float32(index)))

    def close(self) -> None:
        self.closed = True


def batches(batch: int, *, shuffle: bool = False, mirror: bool = False, **source: str) -> Batches:
    squares = Squares(pb.LayerParameter(), pb.TRAIN, **source)
    transformer = DataTransformer(pb.TransformationParameter(mirror=mirror), pb.TRAIN)
    order = Order(len(squares), batch, shuffle, seed=9)
    return Batches(squares, order, [transformer, None], HashedDraws(9))


def values(made: Batches) -> list[float]:
    return [float(value) for value in made.next().tops[1]]


def test_batches_run_on_through_the_epochs() -> None:
    made = batches(4)
    assert [values(made) for _ in range(4)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5],
    ]  # fmt: skip
    made.close()
    assert made.source.closed  # type: ignore[attr-defined]


@pytest.mark.parametrize("shuffle", [False, True])
def test_seek_is_exact(shuffle: bool) -> None:
    made = batches(3, shuffle=shuffle)
    straight = [values(made) for _ in range(13)]
    for k in (5, 11, 0, 1, 1, 7):
        made.seek(k)
        assert [values(made), values(made)] == straight[k : k + 2]
    made.close()


def test_a_bad_sample_is_left_out_named_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    made = batches(4, bad="2 5 6")
    assert [values(made) for _ in range(3)] == [[0, 1, 3], [4, 7], [8, 9, 0, 1]]
    assert [values(made) for _ in range(2)] == [[3, 4], [7, 8, 9]]
    made.close()
    assert made.bad == {i: f"sample {i} is broken" for i in (2, 5, 6)}
    assert len(caplog.records) == 3


class Large(Squares):
    """Pictures of 130 x 130, which several threads read at once; each waits for the others."""

    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int, readers: int) -> None:
        super().__init__(param, phase, size=16, bad="3 9")
        self.together = threading.Barrier(readers)

    def read(self, index: int) -> Sample:
        if index < 4:  # the first batch: a sample a thread
            self.together.wait(timeout=30)
        sample = super().read(index)
        picture = np.arange(130 * 130, dtype=np.uint8).reshape(1, 130, 130) + np.uint8(index)
        return Sample(sample.id, (picture, sample.values[1]))


@pytest.mark.parametrize("stated", [False, True])
def test_threads_make_the_batches_of_one(stated: bool) -> None:
    seen = []
    for threads in (1, 4):
        context.current().data_threads = threads
        together = threads if stated else 1  # else the first sample is read alone
        source = Large(pb.LayerParameter(), pb.TRAIN, together)
        transformer = DataTransformer(
            pb.TransformationParameter(mirror=True, crop_size=129), pb.TRAIN
        )
        order = Order(16, 4, shuffle=False)
        made = Batches(source, order, [transformer, None], HashedDraws(9))
        if stated:
            made.shapes = [(1, 129, 129), ()]
        seen.append([[top.copy() for top in made.next().tops] for _ in range(8)])
        assert made.bad == {3: "sample 3 is broken", 9: "sample 9 is broken"}
        made.close()
    for one, four in zip(*seen, strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(one, four, strict=True))


MANY = " ".join(str(i) for i in range(0, 1000, 90))  # 12 of 1000


@pytest.mark.parametrize(
    ("share", "size", "bad", "allowed"),
    [("", 1000, MANY, 10), ("0.005", 1000, MANY, 5), ("0", 10, "3", 0), ("", 20, "1 4 7 11", 3)],
)
def test_more_bad_samples_than_the_limit_end_the_training(
    share: str, size: int, bad: str, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINICAFFE_MAX_LEFT_OUT", share)
    source = {"size": size, "bad": bad}
    made = batches(2, **source)  # type: ignore[arg-type]
    made.source.param = pb.LayerParameter(name="mnist")
    made.source.param.data_param.source = "/data/cut_lmdb"
    with pytest.raises(DataError) as error:
        for _ in range(size):
            made.next()
    last = bad.split()[allowed]
    assert str(error.value) == (
        f"layer 'mnist', source /data/cut_lmdb: {allowed + 1} of {size} samples cannot be read,"
        f" {allowed} may be left out (MINICAFFE_MAX_LEFT_OUT); the last is number {last}:"
        f" sample {last} is broken"
    )
    made.close()


def test_a_larger_share_may_be_left_out_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_MAX_LEFT_OUT", "0.5")
    made = batches(2, bad="1 3 5 7 9")
    assert [values(made) for _ in range(5)] == [[0], [2], [4], [6], [8]]
    made.close()


@pytest.mark.parametrize("text", ["1.5", "-0.1", "nan", "much"])
def test_a_limit_that_is_no_share_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_MAX_LEFT_OUT", text)
    made = batches(2)
    with pytest.raises(DataError, match=f"must be a share from 0 to 1, not '{text}'"):
        made.next()
    made.close()


def test_a_batch_without_a_good_sample_is_an_error() -> None:
    made = batches(3, bad="3 4 5")
    assert values(made) == [0, 1, 2]
    with pytest.raises(DataError, match="batch's 3 samples.*sample 3 is broken"):
        made.next()
    made.close()


def test_samples_of_another_shape_than_stated_are_left_out() -> None:
    made = batches(2)
    made.shapes = [(1, 2, 2), ()]
    with pytest.raises(DataError, match=r"sample 0 has shape \(1, 1, 1\), the net takes"):
        made.next()
    made.close()


def test_read_gives_the_samples_asked_for() -> None:
    made = batches(4, bad="3")
    batch = made.read([7, 3, 9])
    assert batch.ids == ["7", "9"]
    assert batch.tops[0].ravel().tolist() == [7, 9]
    made.close()


def test_hashed_draws_belong_to_the_sample() -> None:
    draws = HashedDraws(4)
    places = [Place(0, 3), Place(1, 3), Place(0, 4)]
    three = draws(0, places, 3)
    assert three.shape == (3, 3)
    assert len(set(three.ravel().tolist())) == 9
    assert np.array_equal(draws(8, places[1:2], 3), three[1:2])
    many = draws(0, [Place(0, i) for i in range(10_000)], 1)
    assert abs(float((many % 2).mean()) - 0.5) < 0.02


def test_stream_draws_are_one_stream_from_any_batch() -> None:
    stream = Generator(8).draws(40).reshape(10, 4)
    draws = StreamDraws(8)
    places = [Place(0, 0), Place(0, 1)]
    for k in (0, 1, 4, 2, 9, 0):
        assert np.array_equal(draws(k, places, 2).ravel(), stream[k])


# --- the transformer ---------------------------------------------------------------------------


def transformed(picture: np.ndarray, phase: int, draws: list[int], **param: object) -> np.ndarray:
    transformer = DataTransformer(pb.TransformationParameter(**param), phase)  # type: ignore[arg-type]
    assert transformer.draws == len(draws)
    out = np.empty(transformer.output_shape(picture.shape), np.float32)
    transformer.transform(picture, out, draws)
    return out


PICTURE = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)


@pytest.mark.parametrize(
    ("phase", "draws", "param", "expected"),
    [
        (pb.TRAIN, [], {}, PICTURE),
        (pb.TEST, [], {"scale": 0.5}, PICTURE * 0.5),
        (pb.TEST, [], {"mean_value": [3], "scale": 2}, (PICTURE - 3.0) * 2),
        (pb.TEST, [], {"mean_value": [3, 1]}, PICTURE - np.array([3.0, 1.0]).reshape(2, 1, 1)),
        (pb.TEST, [], {"crop_size": 2}, PICTURE[:, 1:3, 1:3]),
        (pb.TRAIN, [5, 9], {"crop_size": 2}, PICTURE[:, 2:4, 1:3]),
        (pb.TRAIN, [3, 5, 9], {"crop_size": 2, "mirror": True}, PICTURE[:, 2:4, 2:0:-1]),
        (pb.TEST, [2], {"mirror": True}, PICTURE),
        (pb.TEST, [7], {"mirror": True}, PICTURE[:, :, ::-1]),
    ],
)
def test_transformations(phase: int, draws: list[int], param: dict, expected: np.ndarray) -> None:
    assert np.array_equal(transformed(PICTURE, phase, draws, **param), expected.astype(np.float32))


def test_the_mean_picture_is_cut_like_the_picture(tmp_path: Path) -> None:
    mean = np.arange(40, dtype=np.float32).reshape(2, 4, 5)[:, ::-1] / 4
    proto = pb.BlobProto(num=1, channels=2, height=4, width=5, data=mean.ravel().tolist())
    (tmp_path / "mean").write_bytes(proto.SerializeToString())
    param = {"mean_file": str(tmp_path / "mean"), "crop_size": 3}
    expected = (PICTURE - mean)[:, 1:4, 2:5]
    assert np.array_equal(transformed(PICTURE, pb.TRAIN, [1, 2], **param), expected)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ({"mean_value": [1], "mean_file": "x"}, "exclude each other"),
        ({"force_gray": True, "force_color": True}, "exclude each other"),
        ({"mean_value": [1, 2, 3]}, "3 mean_value given for 2 channels"),
        ({"crop_size": 5}, "crop_size 5 is larger"),
        ({"mean_file": "/nowhere"}, "cannot read mean_file /nowhere"),
        ({"mean_file": __file__}, "holds no mean picture"),
    ],
)
def test_transformations_that_cannot_be(param: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        transformed(PICTURE, pb.TEST, [], **param)
