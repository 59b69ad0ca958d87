"""BatchNorm, then Scale and ReLU or one of them, as one: see minicaffe/net/fusion.py."""

from typing import Any

from minicaffe.blob import Blob
from minicaffe.net.fusion import Group as FusionGroup

from ..batch_norm import BatchNormLayer
from ..relu import ReLULayer
from ..scale import ScaleLayer


class Group(FusionGroup):
    """Runs a kernel on the layers' own parameters, statistics and gradients.

    What Scale keeps for its backward, because it works in place, is what BatchNorm keeps, x_norm:
    here the two of them keep it in one memory.
    """

    replaces = (("BatchNorm", "Scale", "ReLU"), ("BatchNorm", "Scale"), ("BatchNorm", "ReLU"))
    kernel = "batch_norm_scale_relu"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        layers = [node.layer for node in self.nodes]
        self.norm = next(each for each in layers if isinstance(each, BatchNormLayer))
        self.scale = next((each for each in layers if isinstance(each, ScaleLayer)), None)
        relu = next((each for each in layers if isinstance(each, ReLULayer)), None)
        self.slope = relu.negative_slope if relu else None
        self.bottom = self.nodes[0].bottoms[0]
        self.runs_back = any(node.needs_backward for node in self.nodes)

    def fits(self) -> bool:
        """A scale and bias for each channel, and maps: single values have loops of their own."""
        view = self.norm.view
        return view[2] > 1 and (self.scale is None or self.scale.view == view)

    def fits_backward(self) -> bool:
        """Without Scale, nothing keeps x_norm where mean and variance are given."""
        return self.fits() and (self.scale is not None or not self.norm.use_global_stats)

    def _kept(self) -> Blob | None:
        """Where Scale keeps its input, if it is to."""
        kept = self.scale.input if self.scale else self.top
        return None if kept is self.top else kept

    def _parameters(self) -> list[Any]:
        """Scale and bias; None for what is not there."""
        blobs = self.scale.blobs if self.scale else []
        found = [blob.data.read(self.device).reshape(-1) for blob in blobs]
        return [*found, None, None][:2]

    def _gradients(self) -> list[Any]:
        """Those of scale and bias, to be added to; None for what is not there or not wanted."""
        if not self.scale:
            return [None, None]
        found = [
            blob.diff.update(self.device).reshape(-1) if wanted else None
            for blob, wanted in zip(self.scale.blobs, self.scale.param_propagate_down, strict=True)
        ]
        return [*found, None][:2]

    def forward(self) -> None:
        """Normalise, scale, rectify."""
        norm, device, kept = self.norm, self.device, self._kept()
        x = self.bottom.data.read(device).reshape(norm.view)
        y = self.top.data.write(device).reshape(norm.view)
        mean, variance = norm.mean.data.write(device), norm.variance.data.write(device)
        numbers = norm.eps, *self._parameters(), self.slope, mean, variance
        if norm.use_global_stats:
            norm.take_averages()
            x_norm = None
            if kept is not None and self.runs_back:
                x_norm = kept.data.write(device).reshape(norm.view)
            self.ops.forward_given(x, *numbers, x_norm, y)
        else:
            if kept is not None:
                kept.share_data(norm.x_norm)
            self.ops.forward_batch(x, *numbers, norm.x_norm.data.write(device), y)
            norm.accumulate()

    def backward(self) -> None:
        """The gradients of scale, bias and bottom."""
        norm, device = self.norm, self.device
        given = norm.use_global_stats
        x_norm = (self.scale.input if given and self.scale else norm.x_norm).data.read(device)
        self.ops.backward(
            self.top.data.read(device).reshape(norm.view),
            x_norm.reshape(norm.view),
            given,
            norm.variance.data.read(device),
            norm.eps,
            self._parameters()[0],
            self.slope,
            self.top.diff.update(device).reshape(norm.view),
            *self._gradients(),
            self.bottom.diff.write(device).reshape(norm.view),
        )
