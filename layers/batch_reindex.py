"""BatchReindex: the items of a batch in another order, repeated or left out."""

from collections.abc import Sequence

import numpy as np

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class BatchReindexLayer(Layer):
    """Item i of the top is item index_i of the bottom.

        y_i = x_{index_i}        dx_n = Σ dy_i over all i with index_i = n

    No parameters. Bottoms: x (N, ...), index (M) of whole numbers in [0, N). Top: (M, ...).

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 3 dim: 2 } } }
        layer { type: "Input" name: "index" top: "index" input_param { shape { dim: 4 } } }
        layer { type: "BatchReindex" name: "y" bottom: "x" bottom: "index" top: "y" }
    """

    kernels = ("gather",)
    bottoms = (2, 2)
    in_place = False
    moves = True
    repeats = True

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has an item for each index."""
        if bottom[1].num_axes != 1 or bottom[0].num_axes < 1:
            raise self.error(
                "takes items (N, ...) and their indices (M), "
                f"not {bottom[0].shape} and {bottom[1].shape}"
            )
        top[0].reshape((*bottom[1].shape, *bottom[0].shape[1:]))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy the items."""
        indices, items = bottom[1].data.read("cpu"), bottom[0].shape[0]
        outside = np.flatnonzero(~((indices >= 0) & (indices < items)))
        if outside.size:
            raise self.error(f"index {indices[outside[0]]:g} is outside a batch of {items} items")
        self.ops.gather(
            bottom[0].data.read(self.device).reshape(items, bottom[0].count(1)),
            bottom[1].data.read(self.device),
            top[0].data.write(self.device).reshape(len(indices), bottom[0].count(1)),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum the gradients of every item's copies."""
        if propagate_down[1]:
            raise self.error("the indices have no gradient: they cannot depend on parameters")
        if propagate_down[0]:
            self.ops.scatter_add(
                top[0].diff.read(self.device).reshape(-1, bottom[0].count(1)),
                bottom[1].data.read(self.device),
                bottom[0].diff.write(self.device).reshape(-1, bottom[0].count(1)),
            )

    def allow_force_backward(self, index: int) -> bool:
        """The indices have no gradient."""
        return index == 0

    def rows_named(self, index: int, bottom: Sequence[Blob]) -> int:
        """The indices name items."""
        return bottom[0].shape[0] if index == 1 else 0
