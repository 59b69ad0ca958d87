"""Where the nodes of a graph are drawn, when graphviz is not there to say: in layers.

After Sugiyama, Tagawa and Toda (1981): a node's rank is the length of the longest path to it; long
edges are cut by invisible nodes on the ranks between; nodes of a rank are ordered, in a few sweeps,
by the mean place of their neighbours on the rank before; then places are drawn together.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from .net_graph import Graph, Node

SWEEPS = 8
CHARACTER, LINE, MARGIN = 0.075, 0.17, 0.12  # inches, of 9 point letters; around a label
GAP_ALONG, GAP_ACROSS = 0.45, 0.2  # inches between ranks, and between nodes of a rank

Size = tuple[float, float]
Place = tuple[float, float]


class Layout:
    """Where the nodes of a graph are, in inches: `places` (their middles) and `sizes`.

    `paths` has the points of each edge, in the order of `graph.edges`; `labels` the place before
    each edge's last node, where no other edge's label is.
    """

    def __init__(self, graph: Graph, rankdir: str) -> None:
        upright = rankdir in ("TB", "BT")
        self.sizes = {key: _size(node) for key, node in graph.nodes.items()}
        # Of each node: how far it reaches along the ranks and across them.
        reach = {key: size[::-1] if upright else size for key, size in self.sizes.items()}
        self._ranks = _ranks(graph)
        chains = self._cut_long_edges(graph)
        self._orders: dict[int, list[str]] = defaultdict(list)
        for key, rank in self._ranks.items():
            self._orders[rank].append(key)
        self._sort(chains)
        across = self._across(reach, chains)
        bands = self._bands(reach, self._gaps(graph, upright))

        def place(key: str, part: float = 0.5) -> Place:
            """A node's place, `part` of the way through the band of its rank."""
            start, end = bands[self._ranks[key]]
            first, second = start + part * (end - start), across[key]
            if rankdir in ("RL", "BT"):
                first = -first
            # In a drawing y grows upwards, so that ranks from top to bottom have falling y.
            return (second, -first) if upright else (first, -second)

        self.places = {key: place(key) for key in graph.nodes}
        self.paths = []
        for chain in chains:
            # Through a rank an edge runs straight; it goes sideways between ranks.
            inner = [place(key, part) for key in chain[1:-1] for part in (0, 1)]
            self.paths.append([place(chain[0]), *inner, place(chain[-1])])
        self.labels = [place(chain[-1], 0) for chain in chains]

    def frame(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of all that is drawn."""
        points = [point for path in self.paths for point in path]
        for key, (x, y) in self.places.items():
            width, height = self.sizes[key]
            points += [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
        xs, ys = zip(*points or [(0.0, 0.0)], strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def _cut_long_edges(self, graph: Graph) -> list[list[str]]:
        """The keys along each edge, invisible ones included, which get ranks."""
        chains = []
        for number, (source, target, _) in enumerate(graph.edges):
            chain = [source]
            first, last = self._ranks[source], self._ranks[target]
            step = 1 if last >= first else -1
            for rank in range(first + step, last, step):
                key = f"\0{number}.{rank}"
                self._ranks[key] = rank
                chain.append(key)
            chains.append([*chain, target])
        return chains

    def _sort(self, chains: list[list[str]]) -> None:
        """Order the nodes of each rank by those of the rank before, then the next, ..."""
        before, after = _neighbours(chains, self._ranks)
        ranks = sorted(self._orders)
        for sweep in range(SWEEPS):
            neighbours = after if sweep % 2 else before
            for rank in reversed(ranks) if sweep % 2 else ranks:
                spots = {key: i for order in self._orders.values() for i, key in enumerate(order)}
                self._orders[rank].sort(
                    key=lambda key: _mean([spots[other] for other in neighbours[key]], spots[key])
                )

    def _across(self, reach: dict[str, Size], chains: list[list[str]]) -> dict[str, float]:
        """Places within the ranks: close to the neighbours', never overlapping."""
        before, after = _neighbours(chains, self._ranks)
        places: dict[str, float] = {}
        for order in self._orders.values():
            places |= _apart(order, reach, dict.fromkeys(order, 0.0))
        for sweep in range(SWEEPS):
            neighbours = after if sweep % 2 else before
            for rank in sorted(self._orders, reverse=sweep % 2 == 1):
                order = self._orders[rank]
                wanted = {
                    key: _mean([places[other] for other in neighbours[key]], places[key])
                    for key in order
                }
                places |= _apart(order, reach, wanted)
        return places

    def _gaps(self, graph: Graph, upright: bool) -> dict[int, float]:
        """How far from each rank the next is: the labels of the edges between have room."""
        gaps: dict[int, float] = defaultdict(lambda: GAP_ALONG)
        for source, _, label in graph.edges:
            lines = label.split("\n") if label else []
            width = max(map(len, lines), default=0) * CHARACTER
            room = len(lines) * LINE if upright else width
            rank = self._ranks[source]
            gaps[rank] = max(gaps[rank], room + GAP_ALONG / 2 if lines else 0.0)
        return gaps

    def _bands(
        self, reach: dict[str, Size], gaps: dict[int, float]
    ) -> dict[int, tuple[float, float]]:
        """Where each rank begins and ends."""
        bands, start = {}, 0.0
        for rank in sorted(self._orders):
            depth = max((reach[key][0] for key in self._orders[rank] if key in reach), default=0.0)
            bands[rank] = (start, start + depth)
            start += depth + gaps[rank]
        return bands


def _size(node: Node) -> Size:
    """Width and height of a node's label with its margin, in inches."""
    width = max(len(line) for line in node.lines) * CHARACTER + 2 * MARGIN
    return width, len(node.lines) * LINE + 2 * MARGIN


def _ranks(graph: Graph) -> dict[str, int]:
    """The longest path to each node, edges that close a circle (layers in place) left out."""
    numbers = {key: number for number, key in enumerate(_in_order(graph))}
    incoming = defaultdict(list)
    for source, target, _ in graph.edges:
        if numbers[source] < numbers[target]:
            incoming[target].append(source)
    ranks: dict[str, int] = {}
    for key in sorted(numbers, key=numbers.__getitem__):
        ranks[key] = max((ranks[source] + 1 for source in incoming[key]), default=0)
    return ranks


def _in_order(graph: Graph) -> list[str]:
    """The nodes as edges reach them: from layer to layer, each with what it reads and makes."""
    return list(
        dict.fromkeys(key for source, target, _ in graph.edges for key in (source, target))
        | dict.fromkeys(graph.nodes)
    )


def _neighbours(
    chains: list[list[str]], ranks: dict[str, int]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The neighbours of each node on the rank before, and on the next rank."""
    before, after = defaultdict(list), defaultdict(list)
    for chain in chains:
        for one, other in pairwise(chain):
            low, high = sorted((one, other), key=ranks.__getitem__)
            before[high].append(low)
            after[low].append(high)
    return before, after


def _mean(values: list[float] | list[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(order: list[str], reach: dict[str, Size], wanted: dict[str, float]) -> dict[str, float]:
    """Places in this order, as near to the wanted ones as they can be without overlapping.

    Neighbours that would overlap form a block, which stands at the mean of what they want.
    """
    blocks: list[tuple[float, list[tuple[str, float]]]] = []  # place, keys and their offsets
    for key in order:
        block = (wanted[key], [(key, 0.0)])
        while blocks:
            place, members = blocks[-1]
            last, offset = members[-1]
            gap = _half(last, reach) + _half(block[1][0][0], reach) + GAP_ACROSS
            if place + offset + gap <= block[0]:
                break
            blocks.pop()
            joined = [*members, *((name, offset + gap + rest) for name, rest in block[1])]
            block = (_mean([wanted[name] - rest for name, rest in joined], 0.0), joined)
        blocks.append(block)
    return {key: place + offset for place, members in blocks for key, offset in members}


def _half(key: str, reach: dict[str, Size]) -> float:
    return reach[key][1] / 2 if key in reach else 0.0
