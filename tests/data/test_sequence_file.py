"""SequenceFiles and the Java objects in their keys: what is written is read, damage is named."""

import random
import struct
import zlib
from pathlib import Path

import pytest

from minicaffe.data import sequence_file
from minicaffe.data.java_objects import JavaClass, JavaObject, read_object, write_object
from minicaffe.data.sample_key import SampleKey, read_sample_key, write_sample_key
from minicaffe.data.sequence_file import SequenceFileReader
from minicaffe.data.sequence_parts import BYTES, CODECS, TEXT, pack_number, pack_text, unpack_number
from minicaffe.data.sequence_writer import COMPRESSIONS, SequenceFileWriter
from minicaffe.errors import DataError

# Written by java.io.ObjectOutputStream: the ancestor's Pair, and tuples of Scala 2.13.
PAIR = bytes.fromhex(
    "aced00057372001a636f6d2e7961686f6f2e6d6c2e646c2e63616666652e50616972674440f0533c10ca0200024c"
    "000566697273747400124c6a6176612f6c616e672f4f626a6563743b4c00067365636f6e6471007e000178707400"
    "08636174312e6a706774000130"
)
TUPLE2 = bytes.fromhex(
    "aced00057372000c7363616c612e5475706c653201fbddcd22e7347a0200024c00025f317400124c6a6176612f6c"
    "616e672f4f626a6563743b4c00025f3271007e00017870740008303030303030303174000137"
)
TUPLE6 = bytes.fromhex(
    "aced00057372000c7363616c612e5475706c653689e6cd0b84e7f0300200064c00025f317400124c6a6176612f6c"
    "616e672f4f626a6563743b4c00025f3271007e00014c00025f3371007e00014c00025f3471007e00014c00025f35"
    "71007e00014c00025f3671007e00017870740008303030303030303174000137737200116a6176612e6c616e672e"
    "496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d626572"
    "86ac951d0b94e08b0200007870000000017371007e00050000001c71007e0008737200116a6176612e6c616e672e"
    "426f6f6c65616ecd207280d59cfaee0200015a000576616c7565787000"
)


def write(path: Path, records: list[tuple[bytes, bytes]], *how: str) -> Path:
    with SequenceFileWriter(path, *how) as out:
        for record in records:
            out.put(*record)
    return path


def some_records(count: int = 300, size: int = 9000) -> list[tuple[bytes, bytes]]:
    chance = random.Random(count)
    records = [(b"%05d" % i, chance.randbytes(chance.randrange(size))) for i in range(count)]
    return [(b"", b""), *records]


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("codec", sorted(CODECS))
def test_records_come_back_in_order_and_from_any_place(
    tmp_path: Path, compression: str, codec: str
) -> None:
    records = some_records()
    path = write(tmp_path / "part", records, compression, codec)
    with SequenceFileReader(path) as reader:
        assert list(reader.items()) == records
        places = list(reader.records())
        assert len({place.offset for place in places}) == (2 if reader.in_blocks else len(records))
        for i in random.Random(1).sample(range(len(records)), 40):
            assert (places[i].key, reader.value(places[i])) == records[i]
    assert (path.read_bytes().count(reader._sync) >= 10) == (compression != "BLOCK")


def test_a_file_without_records_is_one(tmp_path: Path) -> None:
    for compression in COMPRESSIONS:
        with SequenceFileReader(write(tmp_path / "part", [], compression)) as reader:
            assert list(reader.records()) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SequenceFileWriter(tmp_path / "part") as out:
        out.put(b"key", b"value")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match=r"no codec 'SnappyCodec' \(there are: DefaultCodec"):
        SequenceFileWriter(tmp_path / "part", "BLOCK", "SnappyCodec")
    with pytest.raises(DataError, match="no compression 'block'"):
        SequenceFileWriter(tmp_path / "part", "block")


def test_blocks_stay_in_memory_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_file, "KEPT", 2_500_000)
    records = [(b"%d" % i, bytes([i]) * 600_000) for i in range(8)]  # two to a block
    with SequenceFileReader(write(tmp_path / "part", records, "BLOCK")) as reader:
        places = list(reader.records())
        for i in (0, 7, 3, 0, 5, 1, 6, 2):
            assert reader.value(places[i]) == records[i][1]
            assert 1 <= len(reader._blocks._values) <= 2


def test_texts_are_read_too(tmp_path: Path) -> None:
    sync = bytes(range(16))
    head = b"SEQ\6" + pack_text(TEXT) + pack_text(BYTES) + bytes(2)
    notes = struct.pack(">i", 1) + pack_text("made by") + pack_text("hand")
    key, value = pack_text("é" * 100), struct.pack(">i", 3) + b"abc"
    record = struct.pack(">ii", len(key) + len(value), len(key)) + key + value
    (tmp_path / "part").write_bytes(head + notes + sync + record)
    with SequenceFileReader(tmp_path / "part") as reader:
        assert list(reader.items()) == [(("é" * 100).encode(), b"abc")]


@pytest.mark.parametrize("value", [0, 127, 128, -112, -113, 255, -256, 65536, 2**63 - 1, -(2**63)])
def test_numbers_of_variable_length(value: int) -> None:
    packed = pack_number(value)
    assert unpack_number(b"?" + packed + b"?", 1) == (value, 1 + len(packed))
    with pytest.raises(DataError, match="end within a number"):
        unpack_number(packed[:-1])


def damaged(kind: str, content: bytes, first: int) -> bytes:
    """A file's content after an accident; its first record or block begins at byte `first`."""
    sync = first - 16
    if kind == "no file of it":
        return b"PAR1" + content[4:]
    if kind == "version":
        return b"SEQ\4" + content[4:]
    if kind == "class":
        return content.replace(b"BytesWritable", b"MapWritable12", 1)
    if kind == "codec":
        return content.replace(b"DefaultCodec", b"SnappyCodec2", 1)
    if kind == "marker":
        at = content.rindex(content[sync:first])
        return content[:at] + b"?" + content[at + 1 :]
    if kind == "cut short":
        return content[:-3]
    if kind == "length":
        return content[:first] + struct.pack(">i", -7) + content[first + 4 :]
    return content[:sync]  # no marker at all


@pytest.mark.parametrize(
    ("kind", "compression", "message"),
    [
        ("no file of it", "NONE", "is no SequenceFile"),
        ("version", "NONE", "of version 4, only 6 is read"),
        ("class", "NONE", "keys of class .*MapWritable12; BytesWritable and Text"),
        ("codec", "BLOCK", "compressed by SnappyCodec2 .*DefaultCodec"),
        ("marker", "NONE", "a sync marker is expected"),
        ("marker", "BLOCK", "a sync marker is expected"),
        ("cut short", "NONE", "a value of .* cut short"),
        ("cut short", "BLOCK", "cut short"),
        ("length", "NONE", "-7 bytes of a record; 0 to"),
        ("length", "BLOCK", "does not begin with its sync marker"),
        ("head", "NONE", "cut short"),
    ],
)
def test_damage_is_named_with_file_and_byte(
    tmp_path: Path, kind: str, compression: str, message: str
) -> None:
    path = write(tmp_path / "part", some_records(), compression)
    with SequenceFileReader(path) as reader:
        first = reader._first
    path.write_bytes(damaged(kind, path.read_bytes(), first))
    with pytest.raises(DataError, match=message) as caught, SequenceFileReader(path) as reader:
        list(reader.items())
    assert str(path) in str(caught.value)


def test_a_small_block_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "part", [(b"key", bytes(100))], "BLOCK")
    content = path.read_bytes()
    with SequenceFileReader(path) as reader:
        offset = next(reader.records()).offset
    bomb = zlib.compress(bytes(50_000_000))
    lengths = zlib.compress(pack_number(104))
    parts = b"".join(pack_number(len(part)) + part for part in (lengths, bomb))
    path.write_bytes(content[:offset] + parts)
    message = "more than the 104 bytes that were announced"
    with SequenceFileReader(path) as reader, pytest.raises(DataError, match=message):
        list(reader.items())


# --- keys ----------------------------------------------------------------------------------------


def test_keys_as_java_writes_them() -> None:
    assert read_sample_key(PAIR) == SampleKey("cat1.jpg", "0")
    assert read_sample_key(TUPLE2) == SampleKey("00000001", "7")
    assert read_sample_key(TUPLE6) == SampleKey("00000001", "7", 1, 28, 28, False)
    assert write_sample_key(SampleKey("00000001", "7")) == TUPLE2
    assert write_sample_key(SampleKey("00000001", "7", 1, 28, 28, False)) == TUPLE6


@pytest.mark.parametrize(
    "key",
    [
        SampleKey("", ""),
        SampleKey("a\0é\U0001f600", "-1.5"),
        SampleKey("same", "same", 300, 300, 300, True),
        SampleKey("x" * 65535, "0", 2**31 - 1, 0, 0, False),
    ],
)
def test_keys_come_back(key: SampleKey) -> None:
    assert read_sample_key(write_sample_key(key)) == key


def test_what_is_no_key() -> None:
    with pytest.raises(DataError, match="begin with AC ED 00 05"):
        read_sample_key(b"00000001")
    with pytest.raises(DataError, match="a key that is a str"):
        read_sample_key(b"\xac\xed\0\5t\0\1x")
    other = JavaClass("my.Key", 1, (("Ljava/lang/Object;", "a"), ("I", "b")))
    with pytest.raises(DataError, match="of class my.Key .*scala.Tuple2, scala.Tuple6"):
        read_sample_key(write_object(other, ("x",)) + bytes(4))
    with pytest.raises(DataError, match="Tuple2 of str, NoneType; its first two are Strings"):
        read_sample_key(TUPLE2[:-4] + b"p")
    with pytest.raises(DataError, match="70000 bytes; a sample's key has 65535"):
        write_sample_key(SampleKey("x" * 70000, "0"))
    with pytest.raises(DataError, match="no number of 32 bits"):
        write_sample_key(SampleKey("x", "0", 1 << 31, 1, 1))


def test_objects_are_read_to_a_limited_depth() -> None:
    kind = JavaClass("A", 1, (("Ljava/lang/Object;", "a"),))
    one = write_object(kind, ())[4:]  # an object that ends before its field
    inner = b"sq\0~\0\0"  # another object of the same class
    found = read_object(b"\xac\xed\0\5" + one + 3 * inner + b"p")
    for _ in range(4):
        assert isinstance(found, JavaObject)
        found = found.fields["a"]
    assert found is None
    with pytest.raises(DataError, match="objects in objects, 8 deep"):
        read_object(b"\xac\xed\0\5" + one + 50_000 * inner)


def test_a_key_that_ends_too_early() -> None:
    for end in range(len(TUPLE6)):
        with pytest.raises(DataError):
            read_sample_key(TUPLE6[:end])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"\2\0\6L", b"\3\0\6L", "writes itself in a way of its own"),
        (b"q\0~\0\5", b"q\0~\0\1", "a class is expected, it refers to something else"),
        (b"q\0~\0\5", b"q\0~\0\x7f", "refers to object 127 of"),
        (b"q\0~\0\1xp", b"q\0~\0\1wp", "class scala.Tuple6 has notes"),
        (b"L\0\2_2", b"[\0\2_2", r"field _2 is of type '\['"),
        (b"t\0\1\x37", b"t\0\1\xff", "a text that is none"),
        (b"t\0\1\x37", b"w\0\1\x37", "tag 0x77"),
    ],
)
def test_a_key_of_another_kind(before: bytes, after: bytes, message: str) -> None:
    assert before in TUPLE6
    with pytest.raises(DataError, match=message):
        read_sample_key(TUPLE6.replace(before, after, 1))
