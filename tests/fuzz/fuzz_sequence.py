"""SequenceFiles for the fuzzer, with the Java objects in their keys."""

from pathlib import Path

from minicaffe.data.sample_key import SampleKey, read_sample_key, write_sample_key
from minicaffe.data.sequence_file import SequenceFileReader
from minicaffe.data.sequence_parts import CODECS
from minicaffe.data.sequence_writer import COMPRESSIONS, SequenceFileWriter
from minicaffe.errors import DataError

KEYS = (SampleKey("00000001", "7", 1, 28, 280, False), SampleKey("1.jpg", "3"))


def key_examples() -> list[bytes]:
    """A key alone."""
    return [write_sample_key(key) for key in KEYS]


def read_key(path: str) -> None:
    """Read the key that is the whole file."""
    read_sample_key(Path(path).read_bytes())


def sequence_examples(folder: Path) -> list[bytes]:
    """A file of each compression, of all kinds of keys."""
    made = []
    path = folder / "honest.seq"
    ways = [(how, codec) for how in COMPRESSIONS[1:] for codec in CODECS]
    for compression, codec in [(COMPRESSIONS[0], "DefaultCodec"), *ways]:
        with SequenceFileWriter(path, compression, codec) as writer:
            for i in range(12):
                key = SampleKey(f"{i:08d}", str(i), 1, 20 * (i % 2), 20, False)
                writer.put(write_sample_key(key), bytes(400))
                writer.put(write_sample_key(SampleKey(f"{i}.jpg", "1")), bytes(300))
        made.append(path.read_bytes())
    return made


def read_sequence(path: str) -> None:
    """Read all keys and values; a key that is none is a fault of its own."""
    faults = []
    with SequenceFileReader(path) as reader:
        for record in reader.records():
            try:
                read_sample_key(record.key)
            except DataError as error:
                faults.append(error)
            reader.value(record)
    if faults:
        raise faults[0]
