"""Wrong values that a pass has found, with the records that they came from."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LayerError, add_to
from .node import Node


def check_values(nodes: Sequence[Node], feeding: Sequence[Node]) -> None:
    """Raise LayerError for what layers have found wrong in their bottoms, such as labels.

    Where the error tells which sample of the batch it is, and one of the nodes `feeding` brought
    the batch from a source, its record and source are named.
    """
    for node in nodes:
        if node.kind.checked_bottom is None:
            continue
        try:
            node.check()
        except LayerError as error:
            _name_record(error, [each for each in feeding if each.batches is not None])
            raise


def _name_record(error: LayerError, feeding: Sequence[Node]) -> None:
    if error.sample is None or len(feeding) != 1:
        return
    [node] = feeding
    assert node.batches is not None
    ids: list[str] = getattr(node.layer, "ids", [])
    if error.sample < len(ids):
        add_to(error, f": record {ids[error.sample]} of {node.batches.source.place()}")
