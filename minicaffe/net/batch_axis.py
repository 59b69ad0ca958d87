"""Which axis of a blob counts the samples: of sequences it is the second, time comes first."""

from __future__ import annotations

from .net import Net


def batch_axes(net: Net) -> dict[str, int]:
    """The axis of every blob that counts the samples, if it has an axis of samples at all.

    A data layer says it of its tops (`Layer.batch_axis`). Others keep it: their tops have the axis
    of their bottoms, the last one where these differ (an LSTM gets words (T, N) and a picture (N)).
    """
    axes: dict[str, int] = {}
    for node in net.nodes:
        below = [axes[name] for name in node.bottom_names]
        for index, name in enumerate(node.top_names):
            axes[name] = max(below) if below else node.batch_axis(index)
    return axes
