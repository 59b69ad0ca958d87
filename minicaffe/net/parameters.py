"""All learnable parameters of a net in one flat buffer: a collective or an update is one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from ..blob import Blob, SyncedArray
from ..layer import Layer
from ..proto import minicaffe_pb2 as pb


class FlatParams:
    """The learnable parameter blobs, in order, as views of one flat `data` and one flat `diff`.

    `slices[i]` is the place of `blobs[i]` in the flat arrays, `lr_mults[i]` and `decay_mults[i]`
    are its multipliers, `names[i]` is "layer/index".
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
        self.lr_mults = list(lr_mults)
        self.decay_mults = list(decay_mults)
        self.slices: list[slice] = []
        self.count = 0
        for blob in self.blobs:
            self.slices.append(slice(self.count, self.count + blob.count()))
            self.count += blob.count()
        self.data = self._gather([blob.data for blob in self.blobs])
        self.diff = self._gather([blob.diff for blob in self.blobs])

    def _gather(self, arrays: Sequence[SyncedArray]) -> SyncedArray:
        flat = SyncedArray((self.count,))
        for array, where in zip(arrays, self.slices, strict=True):
            array.move_into(flat.storage, where.start)
        return flat

    def clear_diff(self, device: str) -> None:
        """Set all gradients to zero."""
        self.diff.overwrite(device, 0)

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

    def append(self, param: pb.LayerParameter, layer: Layer) -> bool:
        """Take a layer's parameters in; whether one of them learns."""
        if len(param.param) > len(layer.blobs):
            raise Layer.error(
                layer,
                f"has {len(layer.blobs)} parameters, the prototxt describes {len(param.param)}",
            )
        learns = False
        for index, blob in enumerate(layer.blobs):
            spec = param.param[index] if index < len(param.param) else pb.ParamSpec()
            if not (isfinite(spec.lr_mult) and isfinite(spec.decay_mult)):
                raise Layer.error(layer, f"lr_mult and decay_mult must be finite numbers, those of"
                                  f" parameter {index} are {spec.lr_mult:g} and"
                                  f" {spec.decay_mult:g}")  # fmt: skip
            layer.param_propagate_down[index] = spec.lr_mult != 0
            learns |= spec.lr_mult != 0
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
            blob.share_data(self.owners[owner])
            blob.share_diff(self.owners[owner])
        return flat


def _or_one(mults: Iterable[float | None]) -> list[float]:
    return [1.0 if mult is None else mult for mult in mults]
