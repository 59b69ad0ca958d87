"""Crop: a part of a blob, of another blob's extents."""

from collections.abc import Sequence

from minicaffe.blob import Blob, Shape
from minicaffe.layer import Layer


class CropLayer(Layer):
    """Cuts bottom 0 to the extents of bottom 1, along `axis` and the axes after it.

    `crop_param`: `axis` (2), the first axis that is cut; `offset`: where the part begins, none (0
    everywhere), one for all cut axes, or one for each of them.

    Bottoms: the blob that is cut; and one whose extents count, not its values: its gradient is 0.
    Top: the extents of bottom 0 before `axis`, those of bottom 1 from there on.

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 4 dim: 5 } } }
        layer { type: "Input" name: "size" top: "size"
          input_param { shape { dim: 1 dim: 1 dim: 2 dim: 3 } } }
        layer { type: "Crop" name: "y" bottom: "x" bottom: "size" top: "y"
          crop_param { offset: 1 offset: 2 } }
    """

    kernels = ("crop", "fill")
    bottoms = (2, 2)
    in_place = False
    positions = "cut"
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the offsets, one for each axis that is cut."""
        param = self.param.crop_param
        self.first: int = param.axis
        axis = self.axis(bottom[0], self.first)
        cut = bottom[0].num_axes - axis
        self.given: Shape = tuple(param.offset)
        if len(self.given) not in (0, 1, cut):
            raise self.error(
                f"offset is given {len(self.given)} times for {cut} axes from axis {axis} on "
                "(never, once, or once an axis)"
            )
        self.zero = self.ops_of("fill").fill

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that the part lies inside."""
        whole, part = bottom[0].shape, bottom[1].shape
        first = self.axis(bottom[0], self.first)
        if len(part) < len(whole):
            raise self.error(f"bottom 1 of shape {part} has fewer axes than bottom 0, {whole}")
        cut = len(whole) - first
        given = self.given if len(self.given) > 1 else (self.given or (0,)) * cut
        if len(given) != cut:
            raise self.error(f"{len(given)} offsets for the {cut} cut axes of a shape {whole}")
        self.offsets = (0,) * first + given
        shape = whole[:first] + part[first : len(whole)]
        for axis, (offset, extent) in enumerate(zip(self.offsets, shape, strict=True)):
            if offset + extent > whole[axis]:
                raise self.error(
                    f"axis {axis}: a part of {extent} from {offset} on is not inside the extent "
                    f"{whole[axis]} of bottom 0 (shapes {whole} and {part})"
                )
        top[0].reshape(shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy the part out."""
        self.ops.forward(
            bottom[0].data.read(self.device), top[0].data.write(self.device), self.offsets
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Copy the gradient to where the part came from, zero elsewhere."""
        if propagate_down[0]:
            dx = bottom[0].diff.write(self.device)
            self.zero(dx, 0.0)
            self.ops.backward(top[0].diff.read(self.device), dx, self.offsets)
        if propagate_down[1]:
            self.zero(bottom[1].diff.write(self.device), 0.0)

    def values_read(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """The part of the bottom that is cut out."""
        return top[0].count()
