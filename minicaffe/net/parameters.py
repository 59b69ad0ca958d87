"""All learnable parameters of a net in one flat buffer: a collective or an update is one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from ..blob import Blob, Home, SyncedArray
from ..errors import NetError
from ..layer import Layer
from ..loans import Loans
from ..proto import minicaffe_pb2 as pb
from ..python_blob import plain
from ..storage import Storage


class _Flat:
    """One flat array, and the parameters' arrays that are its slices, or were (`Home`)."""

    def __init__(self, arrays: Sequence[SyncedArray], names: Sequence[str]) -> None:
        self.array = SyncedArray((sum(array.count for array in arrays),))
        self.away: dict[int, tuple[SyncedArray, Home]] = {}
        self.members: list[tuple[SyncedArray, int]] = []
        start = 0
        for array, name in zip(arrays, names, strict=True):
            array.move_into(self.array.storage, start)
            self.add(array, name, len(self.members))
            start += array.count

    def watch(self) -> None:
        """From now on its values have a stamp (`SyncedArray.stamp`)."""
        self.array.storage.loans = Loans()

    def add(self, array: SyncedArray, name: str, owner: int) -> None:
        """Look after an array, which has the memory of parameter `owner`."""
        Home(name, array, self.away)
        self.members.append((array, owner))

    def collect(self) -> SyncedArray:
        """The flat array, with the values of the parameters that are elsewhere."""
        if self.away:
            self._check()
            for array, home in self.away.values():
                self.array.update("cpu")[home.slice] = array.read("cpu").reshape(-1)
        return self.array

    def spread(self) -> None:
        """Give those parameters the values of the flat array."""
        for array, home in self.away.values():
            array.write("cpu").reshape(-1)[...] = self.array.read("cpu")[home.slice]

    def check_counts(self) -> None:
        """Raise NetError where a parameter has outgrown its place, or has shrunk."""
        for array, home in self.away.values():
            if array.count != home.count and home.shape is not None:
                raise NetError(f"parameter {home.name} has {array.count} elements now, shape"
                               f" {array.shape}: its layer was built for {home.count}, shape"
                               f" {home.shape}")  # fmt: skip

    def _check(self) -> None:
        places: dict[int, tuple[Storage, int]] = {}
        for array, owner in self.members:
            home, place = array.home, (array.storage, array.offset)
            assert home is not None
            if array.count != home.count:
                raise NetError(f"parameter {home.name} has {array.count} elements now, shape"
                               f" {array.shape}: the net was built for {home.count}")  # fmt: skip
            if places.setdefault(owner, place) != place:
                raise NetError(f"parameter {home.name} and those that share it by name have got"
                               " different memory: share it for all of them")  # fmt: skip

    def rejoin(self) -> None:
        """Where some of those that share a parameter by name have new memory, the others follow."""
        moved = {owner: array for array, owner in self.members if id(array) in self.away}
        for array, owner in self.members:
            if owner in moved and id(array) not in self.away:
                array.share(moved[owner])


class FlatParams:
    """The learnable parameter blobs, in order, as views of one flat `data` and one flat `diff`.

    `slices[i]` is the place of `blobs[i]` in the flat arrays, `shapes[i]` its shape in the layer,
    `lr_mults[i]` and `decay_mults[i]` are its multipliers, `names[i]` is "layer/index".

    A blob may leave: `share_data` gives it the memory of another net's. `data` and `diff` then
    begin with a copy of its values, and who has changed them calls `spread`. NetError where that
    cannot be, since its count is another one.
    """

    def __init__(
        self,
        blobs: Sequence[Blob],
        names: Sequence[str],
        lr_mults: Sequence[float],
        decay_mults: Sequence[float],
    ) -> None:
        self.blobs = list(blobs)
        self.names = list(names)
        self.shapes = [blob.shape for blob in self.blobs]
        self.lr_mults = list(lr_mults)
        self.decay_mults = list(decay_mults)
        self.slices: list[slice] = []
        self.count = 0
        for blob in self.blobs:
            self.slices.append(slice(self.count, self.count + blob.count()))
            self.count += blob.count()
        self._data = _Flat([blob.data for blob in self.blobs], self.names)
        self._data.watch()
        self._diff = _Flat([blob.diff for blob in self.blobs], self.names)

    @property
    def data(self) -> SyncedArray:
        """All values."""
        return self._data.collect() if self._data.away else self._data.array

    @property
    def diff(self) -> SyncedArray:
        """All gradients."""
        return self._diff.collect() if self._diff.away else self._diff.array

    def spread(self) -> None:
        """Give what was changed in `data` and `diff` to the parameters that have other memory."""
        self._data.spread()
        self._diff.spread()

    def share(self, blob: Blob, owner: int) -> None:
        """Let another blob be parameter `owner`, too."""
        blob.share_data(self.blobs[owner])
        blob.share_diff(self.blobs[owner])
        self._data.add(blob.data, self.names[owner], owner)
        self._diff.add(blob.diff, self.names[owner], owner)

    def rejoin(self) -> None:
        """Where a parameter has got new memory, those that share it by name get it too."""
        self._data.rejoin()

    def check_counts(self) -> None:
        """Raise NetError for a parameter that has another count than its layer was built for."""
        if self._data.away:
            self._data.check_counts()

    def check_diffs(self) -> None:
        """Raise NetError where a gradient has left the flat `diff`, slices of which are reduced."""
        for _, home in self._diff.away.values():
            raise NetError(f"the gradient of parameter {home.name} has the memory of another blob"
                           " (share_diff) or another count: ranks cannot add it up")  # fmt: skip

    def clear_diff(self, device: str) -> None:
        """Set all gradients to zero."""
        self._diff.array.overwrite(device, 0)
        for array, _ in self._diff.away.values():
            array.overwrite(device, 0)

    def __len__(self) -> int:
        return len(self.blobs)


class ParamCollector:
    """Gathers the parameters of a net: the owners, and the blobs that share with them by name."""

    def __init__(self) -> None:
        self.owners: list[Blob] = []
        self.names: list[str] = []
        self.lr_mults: list[float | None] = []
        self.decay_mults: list[float | None] = []
        self.by_name: dict[str, int] = {}
        self.sharers: list[tuple[Blob, int]] = []
        self.free: list[Blob] = []  # of Python layers: they have whatever shape these give them

    def append(self, param: pb.LayerParameter, layer: Layer) -> bool:
        """Take a layer's parameters in; whether one of them learns."""
        if len(param.param) > len(layer.blobs):
            raise Layer.error(
                layer,
                f"has {len(layer.blobs)} parameters, the prototxt describes {len(param.param)}",
            )
        learns = False
        for index, blob in enumerate(plain(layer.blobs)):
            spec = param.param[index] if index < len(param.param) else pb.ParamSpec()
            if not (isfinite(spec.lr_mult) and isfinite(spec.decay_mult)):
                raise Layer.error(layer, f"lr_mult and decay_mult must be finite numbers, those of"
                                  f" parameter {index} are {spec.lr_mult:g} and"
                                  f" {spec.decay_mult:g}")  # fmt: skip
            layer.param_propagate_down[index] = spec.lr_mult != 0
            learns |= spec.lr_mult != 0
            if param.type == "Python":
                self.free.append(blob)
            if spec.name in self.by_name:
                self._share(layer, blob, spec)
            else:
                self._own(f"{param.name}/{index}", blob, spec)
        return learns

    def _own(self, name: str, blob: Blob, spec: pb.ParamSpec) -> None:
        if spec.name:
            self.by_name[spec.name] = len(self.owners)
        self.owners.append(blob)
        self.names.append(name)
        self.lr_mults.append(spec.lr_mult if spec.HasField("lr_mult") else None)
        self.decay_mults.append(spec.decay_mult if spec.HasField("decay_mult") else None)

    def _share(self, layer: Layer, blob: Blob, spec: pb.ParamSpec) -> None:
        owner = self.by_name[spec.name]
        theirs = self.owners[owner]
        permissive = spec.share_mode == pb.ParamSpec.PERMISSIVE
        if blob.count() != theirs.count() or (not permissive and blob.shape != theirs.shape):
            raise Layer.error(
                layer,
                f"cannot share parameter '{spec.name}': its shape is {blob.shape}, that of the"
                f" owner {self.names[owner]} is {theirs.shape}"
                + ("" if permissive else " (share_mode: STRICT wants equal shapes)"),
            )
        for what, mults in (("lr_mult", self.lr_mults), ("decay_mult", self.decay_mults)):
            if spec.HasField(what):
                value = getattr(spec, what)
                if mults[owner] not in (None, value):
                    raise Layer.error(
                        layer,
                        f"shared parameter '{spec.name}' has {what} {value} here,"
                        f" {mults[owner]} at its owner {self.names[owner]}",
                    )
                mults[owner] = value
        self.sharers.append((blob, owner))

    def flatten(self) -> FlatParams:
        """One flat buffer for the owners; the others use their memory."""
        flat = FlatParams(
            self.owners, self.names, _or_one(self.lr_mults), _or_one(self.decay_mults)
        )
        for blob, owner in self.sharers:
            flat.share(blob, owner)
        for blob in self.free:
            for array in (blob.data, blob.diff):
                if array.home is not None:
                    array.home.shape = None
        return flat


def _or_one(mults: Iterable[float | None]) -> list[float]:
    return [1.0 if mult is None else mult for mult in mults]
