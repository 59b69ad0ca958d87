"""Net with pycaffe's attributes and methods, on top of the core's net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from os import PathLike, fspath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import NetError, UnknownName, did_you_mean
from ..layer import Layer
from ..net.net import Net as CoreNet
from ..net.node import Node
from ..net.weights import load_weights, save_weights, save_weights_hdf5
from ..proto import minicaffe_pb2 as pb
from ..proto.files import Name, read_net
from ..proto.upgrade import upgrade_net
from .blob import ArrayBlob
from .layer import shown

Arrays = dict[str, NDArray[np.float32]]
V = TypeVar("V")


class Named(OrderedDict[str, V]):
    """What a net holds, by name; for an unknown name a KeyError that tells the nearest."""

    def __init__(self, what: str, items: Iterable[tuple[str, V]]) -> None:
        super().__init__(items)
        self.what = what

    def __missing__(self, name: str) -> V:
        hint = did_you_mean(str(name), self)
        known = ", ".join(self) or "none"
        raise UnknownName(f"no {self.what} '{name}' in the net{hint} (it has: {known})")

    def __reduce__(self) -> Any:
        return OrderedDict, (list(self.items()),)

    def copy(self) -> Any:
        """A plain dictionary."""
        return OrderedDict(self)


class Net(CoreNet):
    """A net from a prototxt file: `Net("deploy.prototxt", caffe.TEST, weights="net.caffemodel")`.

    `phase`, `level` and `stages` select the layers; without a phase it is that of the file's state,
    or TEST. The order of arguments of older pycaffe, `Net(file, weights, phase)`, works too; so
    does a NetParameter in place of the file.
    """

    def __init__(
        self,
        network_file: Name | pb.NetParameter,
        phase: int | Name | None = None,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: Name | None = None,
        *,
        device: str | None = None,
        share_memory: bool = False,
        keep: Sequence[str] = (),
        fuse: bool = True,
    ) -> None:
        if isinstance(phase, str | PathLike):
            weights, phase, level = phase, level, None
        param = pb.NetParameter()
        if isinstance(network_file, pb.NetParameter):
            param.CopyFrom(network_file)
            upgrade_net(param)
        else:
            param = read_net(network_file)
        param.state.level = level or 0  # overwrites the file's, as phase does; stages are added
        param.state.stage.extend(stages or ())
        super().__init__(
            param, phase, device=device, share_memory=share_memory, keep=keep, fuse=fuse
        )
        blobs = ((name, ArrayBlob(blob)) for name, blob in self.blob_dict.items())
        self._blobs_dict: Named[ArrayBlob] = Named("blob", blobs)
        params = (
            (node.name, [ArrayBlob(blob) for blob in node.layer.blobs])
            for node in self.nodes
            if node.layer.blobs
        )
        self._params_dict: Named[list[ArrayBlob]] = Named("layer with parameters", params)
        self._shown_layers = [
            node.layer if node.param.type == "Python" else shown(node.layer) for node in self.nodes
        ]
        if weights is not None:
            self.copy_from(weights)

    # --- what the net holds ------------------------------------------------------------------

    @property
    def blobs(self) -> OrderedDict[str, ArrayBlob]:
        """The blobs by name, in order of construction."""
        return self._blobs_dict

    @property
    def params(self) -> OrderedDict[str, list[ArrayBlob]]:
        """The parameter blobs of each layer that has some, by layer name."""
        return self._params_dict

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order; a new list at each access. Their blobs' arrays are ndarrays."""
        return list(self._shown_layers)

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """The layers by name."""
        return Named("layer", zip(self.layer_names, self.layers, strict=True))

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that the caller fills."""
        return list(self.input_names)

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads, in alphabetical order."""
        return list(self.output_names)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """The names of each layer's tops, by layer name."""
        return self._names(lambda node: node.top_names)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """The names of each layer's bottoms, by layer name."""
        return self._names(lambda node: node.bottom_names)

    def _names(self, of: Callable[[Node], list[str]]) -> OrderedDict[str, list[str]]:
        return Named("layer", ((node.name, list(of(node))) for node in self.nodes))

    @property
    def _layer_names(self) -> list[str]:
        return self.layer_names

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blob_dict)

    @property
    def _blobs(self) -> list[ArrayBlob]:
        return list(self._blobs_dict.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return [self.blob_loss_weights.get(name, 0.0) for name in self._blob_names]

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.nodes[layer].bottom_names]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.nodes[layer].top_names]

    # --- running -----------------------------------------------------------------------------

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: NDArray[np.float32],
    ) -> Arrays:
        """Run from layer `start` to layer `end`; the outputs (and `blobs`) by name, as live views.

        Keyword arguments fill the input blobs: all of them or none.
        """
        first = 0 if start is None else self.layer_index(start)
        last = len(self.nodes) - 1 if end is None else self.layer_index(end)
        outputs = set(self.outputs if end is None else self.top_names[end]) | set(blobs or ())
        self._fill(inputs, self.inputs, "data")
        self.forward_pass(first, last)
        return {name: self._blob(name).data for name in outputs}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **top_diffs: NDArray[np.float32],
    ) -> Arrays:
        """Run back from layer `start` to layer `end`; the inputs' gradients (and `diffs`) by name.

        Keyword arguments fill the diffs of the output blobs: all of them or none.
        """
        first = len(self.nodes) - 1 if start is None else self.layer_index(start)
        last = 0 if end is None else self.layer_index(end)
        wanted = set(self.inputs if end is None else self.bottom_names[end]) | set(diffs or ())
        self._fill(top_diffs, self.outputs, "diff")
        self.backward_pass(first, last)
        return {name: self._blob(name).diff for name in wanted}

    def _fill(self, given: Arrays, wanted: Sequence[str], what: str) -> None:
        if given and set(given) != set(wanted):
            raise NetError(
                f"{what} was given for {', '.join(sorted(given))};"
                f" the net wants {', '.join(sorted(wanted)) or 'none'}"
            )
        for name, values in given.items():
            blob = self._blob(name)
            values = np.asarray(values)
            if blob.shape and values.shape[:1] != blob.shape[:1]:
                raise NetError(f"{what} of '{name}' has {values.shape[:1]} items, not {blob.num}")
            try:
                getattr(blob, what)[...] = values
            except ValueError:
                raise NetError(
                    f"{what} of '{name}' has shape {values.shape}, the blob {blob.shape}"
                ) from None

    def _blob(self, name: str) -> ArrayBlob:
        return self._blobs_dict[name]

    def forward_all(
        self, blobs: Sequence[str] | None = None, **inputs: NDArray[np.float32]
    ) -> Arrays:
        """Run as many batches as the inputs hold; all outputs, a row an item (a scalar a batch)."""
        collected: dict[str, list[NDArray[np.float32]]] = {}
        count = _items(inputs)
        for batch in self._batch(inputs):
            self._fill(batch, self.inputs, "data")
            for name, values in self.forward(blobs=blobs).items():
                collected.setdefault(name, []).extend(np.atleast_1d(values).copy())
        return {name: np.asarray(rows)[:count] for name, rows in collected.items()}

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **arrays: NDArray[np.float32],
    ) -> tuple[Arrays, Arrays]:
        """Like `forward_all`, then backward; arrays are inputs' data and outputs' diffs by name."""
        data = {name: values for name, values in arrays.items() if name in self.inputs}
        tops = {name: values for name, values in arrays.items() if name in self.outputs}
        count = _items(arrays)
        batch: Arrays
        top: Arrays
        out: dict[str, list[NDArray[np.float32]]] = {}
        grad: dict[str, list[NDArray[np.float32]]] = {}
        for batch, top in zip_longest(self._batch(data), self._batch(tops), fillvalue={}):
            self._fill(batch, self.inputs, "data")
            for name, values in self.forward(blobs=blobs).items():
                out.setdefault(name, []).extend(np.atleast_1d(values).copy())
            self._fill(top, self.outputs, "diff")
            for name, values in self.backward(diffs=diffs).items():
                grad.setdefault(name, []).extend(np.atleast_1d(values).copy())
        return (
            {name: np.asarray(rows)[:count] for name, rows in out.items()},
            {name: np.asarray(rows)[:count] for name, rows in grad.items()},
        )

    def _batch(self, arrays: Arrays) -> Iterator[dict[str, Any]]:
        if not arrays:
            return
        count = len(next(iter(arrays.values())))
        size = self._blob(next(iter(arrays))).num
        for start in range(0, count, size):
            batch = {name: np.asarray(a[start : start + size]) for name, a in arrays.items()}
            missing = size - len(next(iter(batch.values())))
            if missing:
                batch = {
                    name: np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)])
                    for name, a in batch.items()
                }
            yield batch

    def _forward(self, start: int, end: int) -> float:
        return self.forward_pass(start, end)

    def _backward(self, start: int, end: int) -> None:
        self.backward_pass(start, end)

    def reshape(self) -> None:
        """Propagate the shapes of the inputs through the net."""
        self.propagate_shapes()

    # --- weights and data --------------------------------------------------------------------

    def copy_from(self, weights: Name) -> None:
        """Load a .caffemodel or .caffemodel.h5 (recognised by content)."""
        load_weights(self, fspath(weights))

    def share_with(self, other: CoreNet) -> None:
        """Use the parameters of another net's layers of the same name."""
        self.share_trained_from(other)

    def save(self, path: Name) -> None:
        """Write the weights as a .caffemodel."""
        save_weights(self, fspath(path))

    def save_hdf5(self, path: Name, write_diff: bool = False) -> None:
        """Write the weights (and gradients) as a .caffemodel.h5."""
        save_weights_hdf5(self, fspath(path), write_diff)

    def load_hdf5(self, path: Name) -> None:
        """Load a .caffemodel.h5."""
        load_weights(self, fspath(path))

    def set_input_arrays(self, data: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
        """Give the net's first layer, a MemoryData layer, the arrays it serves batches from."""
        layer, kind = self.nodes[0].layer, self.nodes[0].param.type
        if kind != "MemoryData":
            raise NetError(f"set_input_arrays needs a MemoryData layer first, not {kind}")
        layer.set_input_arrays(data, labels)  # type: ignore[attr-defined]

    # --- callbacks ---------------------------------------------------------------------------

    def before_forward(self, callback: Callable[[int], Any]) -> None:
        """Call back with the layer's index before each layer's forward."""
        self.callbacks.before_forward.append(callback)

    def after_forward(self, callback: Callable[[int], Any]) -> None:
        """Call back with the layer's index after each layer's forward."""
        self.callbacks.after_forward.append(callback)

    def before_backward(self, callback: Callable[[int], Any]) -> None:
        """Call back with the layer's index before each layer's backward."""
        self.callbacks.before_backward.append(callback)

    def after_backward(self, callback: Callable[[int], Any]) -> None:
        """Call back with the layer's index after each layer's backward."""
        self.callbacks.after_backward.append(callback)


def _items(arrays: Arrays) -> int:
    """How many items the arrays hold; NetError unless there are some, as many in each."""
    counts = {name: len(values) for name, values in arrays.items()}
    if len(set(counts.values())) != 1:
        raise NetError(f"arrays with the same number of items are needed, not {counts or 'none'}")
    return next(iter(counts.values()))
