"""Blobs: shapes, shared memory, and copies on other devices that stay in step."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minicaffe import blob as blob_module
from minicaffe import storage as storage_module
from minicaffe.blob import Blob, SyncedArray
from minicaffe.errors import Error


def test_counts_and_axes() -> None:
    blob = Blob((2, 3, 4))
    assert (blob.count(), blob.count(1), blob.count(1, 2), blob.count(3)) == (24, 12, 3, 1)
    assert blob.canonical_axis(-1) == 2
    with pytest.raises(Error, match="axis 3"):
        blob.canonical_axis(3)
    assert Blob().count() == 1


def test_legacy_dims_fill_missing_axes_with_one() -> None:
    blob = Blob((5, 3))
    assert (blob.num, blob.channels, blob.height, blob.width) == (5, 3, 1, 1)
    with pytest.raises(Error, match="5 axes"):
        _ = Blob((1, 1, 1, 1, 1)).num


@pytest.mark.parametrize("shape", [(1,) * 33, (2**16, 2**16), (-1,)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Error):
        Blob(shape)


def test_shrinking_keeps_memory_and_growing_replaces_it() -> None:
    blob = Blob((4,))
    blob.data[...] = [1, 2, 3, 4]
    blob.reshape(2)
    blob.reshape((4,))
    np.testing.assert_array_equal(blob.data, [1, 2, 3, 4])
    blob.reshape(5)
    np.testing.assert_array_equal(blob.data, np.zeros(5))


def test_sharing_needs_equal_counts_not_shapes() -> None:
    mine, theirs = Blob((2, 3)), Blob((6,))
    mine.share_data(theirs)
    theirs.data[...] = np.arange(6)
    np.testing.assert_array_equal(mine.data, np.arange(6).reshape(2, 3))
    with pytest.raises(Error, match="6 elements"):
        mine.share_data(Blob((5,)))


def test_a_synced_array_behaves_like_the_array_it_holds() -> None:
    array = SyncedArray((2, 2))
    array[...] = [[1, 2], [3, 4]]
    view = array[...]
    view[0, 0] = 5
    assert array[0, 0] == 5
    array += 1
    assert isinstance(array, SyncedArray)
    np.testing.assert_array_equal(array * 2, [[12, 6], [8, 10]])
    assert array.mean() == pytest.approx(4.5)
    assert (array.dtype, array.ndim, len(array)) == (np.float32, 2, 2)
    assert isinstance(np.exp(array), np.ndarray)


class FakeCard(ModuleType):
    """A device in main memory that counts its transfers."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.log: list[str] = []

    def allocate(self, count: int, device: str) -> Any:
        return np.full(count, np.nan, np.float32)

    def upload(self, host: Any, card: Any) -> None:
        self.log.append("up")
        card[...] = host

    def download(self, card: Any, host: Any) -> None:
        self.log.append("down")
        host[...] = card


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    fake = FakeCard()
    for module in (blob_module, storage_module):
        monkeypatch.setattr(module, "load_kernel", lambda family, device: fake)
    monkeypatch.setattr(blob_module, "place", lambda name: name if name == "card" else "host")
    return fake


def test_values_move_only_when_the_other_side_is_newer(card: FakeCard) -> None:
    array = SyncedArray((3,))
    array[...] = [1, 2, 3]
    array.read("card")
    array.read("card")
    assert card.log == ["up"]
    array.read("cpu")
    assert card.log == ["up"]
    array.update("card")[...] = 7
    np.testing.assert_array_equal(array.read("cpu"), [7, 7, 7])
    assert card.log == ["up", "down"]


def test_what_will_be_overwritten_whole_is_not_moved(card: FakeCard) -> None:
    array = SyncedArray((3,))
    array[...] = [1, 2, 3]
    array.write("card")[...] = 4
    assert card.log == []
    np.testing.assert_array_equal(array.read("cpu"), [4, 4, 4])


def test_writing_a_slice_of_a_shared_buffer_keeps_the_rest(card: FakeCard) -> None:
    whole, part = SyncedArray((4,)), SyncedArray((2,))
    whole[...] = [1, 2, 3, 4]
    part.move_into(whole.storage, 2)
    part.write("card")[...] = 9
    np.testing.assert_array_equal(whole.read("cpu"), [1, 2, 9, 9])


def test_arrays_that_share_a_buffer_see_each_others_values_everywhere(card: FakeCard) -> None:
    """Also those whose views have been at hand on one side all the time."""
    one, other = SyncedArray((2, 2)), SyncedArray((4,))
    other.share(one)
    one.write("cpu")[...] = 1
    other.update("card")[...] = 2
    np.testing.assert_array_equal(one.read("cpu"), np.full((2, 2), 2))
    one.update("cpu")[...] = 3
    np.testing.assert_array_equal(other.read("card"), np.full(4, 3))
    assert one.read("cpu") is one.read("cpu")
    assert card.log == ["up", "down", "up"]


def test_integers_move_as_floats_do(device: str) -> None:
    found = SyncedArray((2,), "int32")
    assert found.read("cpu").tolist() == [0, 0]
    found.write("cpu")[...] = [-1, 2**31 - 1]
    assert found.read(device).shape == (2,)
    found.update(device)  # the host's copy is old now
    assert (found.read("cpu").dtype, found.read("cpu").tolist()) == (np.int32, [-1, 2**31 - 1])
    found.resize((1, 1))
    assert found.read("cpu").dtype == np.int32
