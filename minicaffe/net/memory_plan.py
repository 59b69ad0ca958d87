"""Which blobs of a net can lie in the same memory: those that are not needed at the same time.

A net that only runs forward needs a blob from the layer that writes it to the last one that reads
it. After that layer, the memory can hold another blob, which is written later:

    layer        conv1   pool1   conv2   pool2   ip
    conv1        ======= =======                          buffer 0
    pool1                ======= =======                  buffer 1
    conv2                        ======= =======          buffer 0
    pool2                                ======= =====    buffer 1
    ip                                           =====    its own: an output

`plan_memory` finds the lives in one pass over the layers, and in a second one gives out buffers:
at each layer its tops take the free buffers that fit best, then those of the blobs that it was the
last to read become free.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..blob import SyncedArray
from ..errors import NetError
from .node import Node


@dataclass
class Life:
    """The data of blobs that are one piece of memory, and the layers that it is needed in."""

    first: int
    last: int
    own: bool  # keeps its memory for itself
    arrays: dict[str, SyncedArray] = field(default_factory=dict)  # by the blobs' names
    buffer: int | None = None

    @property
    def count(self) -> int:
        """Floats."""
        return max(array.count for array in self.arrays.values())


@dataclass(frozen=True)
class MemoryPlan:
    """`lives` in the order of their first layers, and the floats of each of the `buffers`."""

    lives: Sequence[Life]
    buffers: Sequence[int]

    @property
    def bytes_alone(self) -> int:
        """Memory of the blobs' data when each has its own."""
        return 4 * sum(life.count for life in self.lives)

    @property
    def bytes_shared(self) -> int:
        """Memory of the blobs' data by this plan."""
        own = sum(life.count for life in self.lives if life.buffer is None)
        return 4 * (own + sum(self.buffers))

    def buffer_of(self) -> dict[str, int]:
        """The buffer of each blob that shares one, by the blob's name."""
        return {
            name: life.buffer
            for life in self.lives
            if life.buffer is not None
            for name in life.arrays
        }

    def apply(self) -> None:
        """Put the blobs into their buffers; what they hold is lost."""
        buffers = [SyncedArray((size,)) for size in self.buffers]
        for life in self.lives:
            if life.buffer is not None:
                for array in life.arrays.values():
                    array.share(buffers[life.buffer])


def plan_memory(nodes: Sequence[Node], keep: Collection[str]) -> MemoryPlan:
    """The plan for a net that has been built and has not run; `keep` names its outputs at least.

    Not shared are the blobs that `keep` names, the tops of layers without bottoms, losses,
    parameters, labels that are checked when a pass is done, and what a Python layer reads or writes
    (it may do as it likes with it). Raises NetError for a name in `keep` that is no blob.
    """
    known = dict.fromkeys(name for node in nodes for name in node.top_names)
    unknown = sorted(set(keep) - known.keys())
    if unknown:
        there = ", ".join(known)
        raise NetError(f"no blob '{unknown[0]}' to keep in the net (it has: {there})")
    lives = _lives(nodes, keep)
    return MemoryPlan(lives, _share(lives))


def _lives(nodes: Sequence[Node], kept: Collection[str]) -> list[Life]:
    """The lives of all tops; blobs that share memory already (of Split, Reshape ...) have one."""
    params = {id(blob.data.storage) for node in nodes for blob in node.blobs}
    lives: dict[int, Life] = {}
    for index, node in enumerate(nodes):
        is_python = node.param.type == "Python"
        for number, blob in enumerate(node.bottoms):
            life = lives[id(blob.data.storage)]
            life.last = index
            life.own |= is_python or number == node.kind.checked_bottom
        for name, blob, weight in zip(node.top_names, node.tops, node.loss_weights, strict=True):
            storage = id(blob.data.storage)
            life = lives.setdefault(storage, Life(index, index, own=storage in params))
            life.last = index
            life.own |= is_python or not node.bottom_names or bool(weight) or name in kept
            life.arrays[name] = blob.data
    return list(lives.values())


def _share(lives: Sequence[Life]) -> list[int]:
    """Give each life that may share a buffer; the buffers' sizes."""
    sizes: list[int] = []
    free: list[int] = []
    living: list[Life] = []
    for life in lives:
        if life.own:
            continue
        ended = [other for other in living if other.last < life.first]
        free += [other.buffer for other in ended if other.buffer is not None]
        living = [other for other in living if other.last >= life.first]
        life.buffer = _take(free, sizes, life.count)
        living.append(life)
    return sizes


def _take(free: list[int], sizes: list[int], count: int) -> int:
    """The smallest free buffer that is large enough, else the largest, enlarged, else a new one."""
    if not free:
        sizes.append(count)
        return len(sizes) - 1
    enough = [buffer for buffer in free if sizes[buffer] >= count]
    best = min(enough, key=sizes.__getitem__) if enough else max(free, key=sizes.__getitem__)
    sizes[best] = max(sizes[best], count)
    free.remove(best)
    return best
