"""Filter: only the items of a batch that a selector marks."""

from collections.abc import Sequence

import numpy as np

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class FilterLayer(Layer):
    """Keep the items of each bottom at which the last bottom is not 0.

        y_i = x_{k(i)}, with k(0) < k(1) < ... the marked items        dx_{k(i)} = dy_i, else 0

    No parameters. Bottoms: any number of blobs (N, ...), then the selector (N) (further axes are
    1). Tops: one for each blob but the selector, (number of marked items, ...); (N, ...) until the
    first forward.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 4 dim: 3 } } }
        layer { type: "Input" name: "selector" top: "selector" input_param { shape { dim: 4 } } }
        layer { type: "Filter" name: "y" bottom: "x" bottom: "selector" top: "y" }
    """

    kernels = ("gather",)
    bottoms = (2, None)
    tops = (1, None)
    in_place = False
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """A top for each bottom but the last."""
        if len(top) != len(bottom) - 1:
            raise self.error(f"{len(bottom)} bottoms make {len(bottom) - 1} tops, not {len(top)}")
        self.indices = Blob()  # the marked items
        self.first_reshape = True  # the selector has no values yet

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The tops are as long as the selector's marks are many."""
        selector = bottom[-1]
        if not selector.shape or selector.count() != selector.shape[0]:
            raise self.error(f"the selector has one value an item, its shape is {selector.shape}")
        for blob in bottom[:-1]:
            if blob.shape[:1] != selector.shape[:1]:
                raise self.error(f"a bottom of {blob.shape} for a selector of {selector.shape}")
        marked = np.arange(selector.count())
        if not self.first_reshape:
            marked = np.flatnonzero(selector.data.read("cpu"))
        self.first_reshape = False
        self.indices.reshape(marked.shape)
        self.indices.data.write("cpu")[...] = marked
        for x, y in zip(bottom, top, strict=False):
            y.reshape((len(marked), *x.shape[1:]))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy the marked items."""
        indices = self.indices.data.read(self.device)
        for x, y in zip(bottom, top, strict=False):
            self.ops.gather(
                x.data.read(self.device).reshape(x.shape[0], x.count(1)),
                indices,
                y.data.write(self.device).reshape(indices.shape[0], x.count(1)),
            )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Put the gradients where their items came from."""
        if propagate_down[-1]:
            raise self.error("the selector has no gradient: it cannot depend on parameters")
        indices = self.indices.data.read(self.device)
        for x, y, wanted in zip(bottom, top, propagate_down, strict=False):
            if wanted:
                self.ops.scatter_add(
                    y.diff.read(self.device).reshape(indices.shape[0], x.count(1)),
                    indices,
                    x.diff.write(self.device).reshape(x.shape[0], x.count(1)),
                )

    def allow_force_backward(self, index: int) -> bool:
        """The selector, whichever of the bottoms it is, has no gradient."""
        return index != len(self.param.bottom) - 1
