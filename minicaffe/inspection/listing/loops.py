"""Which rows of a function repeat: its natural loops, outer ones before inner ones.

A jump to a block that all ways from the function's begin lead through closes a loop; the loop is
what can reach that jump without going through that block. So code that a compiler has put far away
(what is seldom done) belongs to no loop if it only leaves one, and to a loop if it comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Step(Protocol):
    """What is asked of a row: see `lines.Line`."""

    label: str
    targets: tuple[str, ...]
    falls: bool


@dataclass
class Region:
    """A loop: its rows, and `first` to `last` of those that stand together around its head."""

    rows: list[int]
    first: int
    last: int
    depth: int = 1
    parent: int = -1
    blocks: set[int] = field(default_factory=set)


def find_loops(lines: Sequence[Step]) -> list[Region]:
    """The loops of a function, numbered as they stand in the list; parents come first."""
    begins = _begins(lines)
    if not begins:
        return []
    ends = [*begins[1:], len(lines)]
    after = _successors(lines, begins, ends)
    order = _order(after)
    rank = {block: place for place, block in enumerate(order)}
    dominators = _dominators(after, order, rank)
    loops: dict[int, set[int]] = {}
    before: list[list[int]] = [[] for _ in begins]
    for block, targets in enumerate(after):
        for target in targets:
            before[target].append(block)
    for block, targets in enumerate(after):
        for head in targets:
            back = rank.get(head, -1) >= rank.get(block, 0)  # only such a jump can close a loop
            if back and _dominates(head, block, dominators):
                loops.setdefault(head, {head}).update(_body(head, block, before))
    regions = [_region(head, body, begins, ends) for head, body in loops.items()]
    regions.sort(key=lambda region: (region.first, -len(region.rows)))
    return _nested(regions)


def _begins(lines: Sequence[Step]) -> list[int]:
    """The first rows of the blocks, between which nothing jumps."""
    begins = {0} if lines else set()
    for row, line in enumerate(lines):
        if line.label:
            begins.add(row)
        if (line.targets or not line.falls) and row + 1 < len(lines):
            begins.add(row + 1)
    return sorted(begins)


def _successors(lines: Sequence[Step], begins: list[int], ends: list[int]) -> list[list[int]]:
    place = {lines[row].label: block for block, row in enumerate(begins) if lines[row].label}
    found = []
    for block, end in enumerate(ends):
        last = lines[end - 1]
        targets = [place[name] for name in last.targets if name in place]
        if last.falls and block + 1 < len(begins):
            targets.append(block + 1)
        found.append(targets)
    return found


def _order(after: list[list[int]]) -> list[int]:
    """The blocks in the order in which a search that goes deep first leaves them."""
    order: list[int] = []
    seen = {0}
    stack = [(0, iter(after[0]))]
    while stack:
        block, rest = stack[-1]
        for target in rest:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(after[target])))
                break
        else:
            order.append(block)
            stack.pop()
    return order


def _dominators(after: list[list[int]], order: list[int], rank: dict[int, int]) -> list[int]:
    """Of each block the nearest other one that all ways from the first lead through.

    -1 of the first block and of those that no way leads to. The method is that of Cooper, Harvey
    and Kennedy, "A simple, fast dominance algorithm".
    """
    before: dict[int, list[int]] = {block: [] for block in order}
    for block in order:
        for target in after[block]:
            before[target].append(block)
    nearest = [-1] * len(after)
    nearest[0] = 0
    changed = True
    while changed:
        changed = False
        for block in reversed(order[:-1]):
            found = -1
            for other in before[block]:
                if nearest[other] < 0:
                    continue
                found = other if found < 0 else _common(found, other, nearest, rank)
            if found != nearest[block]:
                nearest[block], changed = found, True
    nearest[0] = -1
    return nearest


def _common(one: int, other: int, nearest: list[int], rank: dict[int, int]) -> int:
    while one != other:
        while rank[one] < rank[other]:
            one = nearest[one]
        while rank[other] < rank[one]:
            other = nearest[other]
    return one


def _dominates(head: int, block: int, nearest: list[int]) -> bool:
    while block >= 0 and block != head:
        block = nearest[block]
    return block == head


def _body(head: int, tail: int, before: list[list[int]]) -> set[int]:
    """The blocks from which `tail` is reached without going through `head`."""
    found, waiting = {head}, [tail]
    while waiting:
        block = waiting.pop()
        if block not in found:
            found.add(block)
            waiting += before[block]
    return found


def _region(head: int, body: set[int], begins: list[int], ends: list[int]) -> Region:
    first = last = head
    while first - 1 in body:
        first -= 1
    while last + 1 in body:
        last += 1
    rows = [row for block in sorted(body) for row in range(begins[block], ends[block])]
    return Region(rows, begins[first], ends[last] - 1, blocks=body)


def _nested(regions: list[Region]) -> list[Region]:
    """The regions with depths and parents, each after its parent."""
    regions.sort(key=lambda region: -len(region.blocks))
    kept: list[Region] = []
    for region in regions:
        around = [number for number, other in enumerate(kept) if region.blocks < other.blocks]
        if around:
            region.parent = min(around, key=lambda number: len(kept[number].blocks))
            region.depth = kept[region.parent].depth + 1
        kept.append(region)
    return _in_order(kept)


def _in_order(regions: list[Region]) -> list[Region]:
    """By the first row, parents before what is in them."""
    order = sorted(range(len(regions)), key=lambda n: (regions[n].rows[0], regions[n].depth))
    place = {-1: -1} | {number: at for at, number in enumerate(order)}
    for region in regions:
        region.parent = place[region.parent]
    return [regions[number] for number in order]
