"""ArgMax: the indices, or the values, of the largest scores."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class ArgMaxLayer(Layer):
    """The `top_k` largest scores, largest first; of equal ones that with the larger index. No
    gradient.

    `argmax_param`: `top_k` (1), `out_max_val` (false), `axis` (none).
    With `axis` the top has the bottom's shape with k along that axis: the indices, or with
    `out_max_val` the values. Without it the scores of a sample are one list: the top is (N, 1, k),
    with more axes of extent 1 if the bottom has more than 3; with `out_max_val` (N, 2, k), first
    the indices, then the values.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 5 } } }
        layer { type: "ArgMax" name: "y" bottom: "x" top: "y" argmax_param { axis: 1 } }
    """

    kernels = ("argmax",)
    in_place = False

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.argmax_param
        self.top_k: int = param.top_k
        self.out_max_val: bool = param.out_max_val
        self.class_axis: int | None = param.axis if param.HasField("axis") else None
        if self.top_k < 1:
            raise self.error("top_k must be at least 1")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Views: scores (outer, classes, inner), top (outer, planes, k, inner)."""
        shape = list(bottom[0].shape)
        if self.class_axis is None:
            if not shape:
                raise self.error("a scalar bottom has no scores: give it an axis at least")
            outer, classes, inner = shape[0], bottom[0].count(1), 1
            planes = 2 if self.out_max_val else 1
            top_shape = [outer, planes, self.top_k] + [1] * (len(shape) - 3)
        else:
            axis = self.axis(bottom[0], self.class_axis)
            outer, classes = bottom[0].count(0, axis), shape[axis]
            inner, planes = bottom[0].count(axis + 1), 1
            top_shape = [*shape[:axis], self.top_k, *shape[axis + 1 :]]
        if self.top_k > classes:
            raise self.error(f"top_k {self.top_k} is more than the {classes} scores")
        self.bottom_view = (outer, classes, inner)
        self.top_view = (outer, planes, self.top_k, inner)
        top[0].reshape(top_shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Find the largest scores."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.bottom_view),
            top[0].data.write(self.device).reshape(self.top_view),
            self.out_max_val and self.class_axis is not None,
        )
