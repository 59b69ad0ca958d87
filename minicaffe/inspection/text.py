"""The page's facts as text, for a terminal: the chain of a layer in one screen, a kernel's code."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from .facts import Call, FusedGroup, Kernel, Layer, Listing, Page, Row

WIDTH = 100
LEFT = 46  # characters of the column of Python
MOST_LINES = 24  # of a layer's prototxt


def chain(page: Page, layer: Layer) -> Iterator[str]:
    """From a layer's lines in the prototxt to the kernels that ran."""
    yield f"{layer.name} ({layer.type})"
    yield from _prototxt(page, layer)
    yield f"layer      {layer.file}:{layer.first_line}"
    yield from _indent(_formula(layer.doc))
    yield from _indent(_sizes(layer))
    yield from _indent(_costs(layer))
    if layer.way:
        for way in layer.way.split("; "):
            yield from textwrap.wrap(f"way, {way}", WIDTH, initial_indent="    ",
                                     subsequent_indent="        ")  # fmt: skip
    if layer.fused:
        yield from _indent([f"runs as one, where nobody looks: {layer.fused}"])
    yield from _calls(layer.calls)
    for group in page.fused_groups:
        if group.name == layer.fused:
            yield from _group(group)
    for device, why in {**page.made.missing, **layer.missing}.items():
        yield f"missing    {device}: {why}"


def _prototxt(page: Page, layer: Layer) -> Iterator[str]:
    if not layer.first:
        what = "put in by the net, where several layers read a blob" if layer.inserted else "none"
        yield f"prototxt   {what}"
        return
    last = f"-{layer.last}" if layer.last != layer.first else ""
    yield f"prototxt   {page.prototxt.file}:{layer.first}{last}"
    lines = page.prototxt.text.splitlines()[layer.first - 1 : layer.last]
    for number, line in enumerate(lines[:MOST_LINES], layer.first):
        yield f"  {number:4} {line.rstrip()}"
    if len(lines) > MOST_LINES:
        yield f"       ... to line {layer.last}"


def _formula(doc: str) -> Iterator[str]:
    """A docstring's first paragraph, and its indented lines that are no prototxt."""
    first, *rest = doc.split("\n\n")
    yield from first.splitlines()
    for block in rest:
        if block.startswith("    ") and not block.lstrip().startswith("layer {"):
            yield from block.splitlines()


def _sizes(layer: Layer) -> Iterator[str]:
    tops = ", ".join(f"{top.name} {top.shape}" for top in layer.blobs)
    yield f"{', '.join(layer.bottoms) or 'no bottom'} -> {tops or 'no top'}"
    if layer.params:
        yield f"parameters {', '.join(f'{each.name} {each.shape}' for each in layer.params)}"


def _costs(layer: Layer) -> Iterator[str]:
    passes = [("forward", layer.flops.forward, layer.bytes.forward, layer.ms.forward)]
    if layer.ms.backward:
        passes.append(("backward", layer.flops.backward, layer.bytes.backward, layer.ms.backward))
    for name, flops, moved, ms in passes:
        yield f"{name:9} {ms:.3f} ms, {flops / 1e6:.3g} MFLOP, {moved / 1e6:.3g} MB"
    if layer.bound_by:
        yield (
            f"together  {layer.gflops:.3g} GFLOP/s, {layer.share_of_roof:.0%} of the roof,"
            f" bound by {layer.bound_by}"
        )


def _calls(calls: Sequence[Call]) -> Iterator[str]:
    """Each function of a family once a pass, with the devices that ran it below."""
    functions: dict[tuple[str, str, str], dict[str, list[Call]]] = {}
    for call in calls:
        devices = functions.setdefault((call.pass_, call.family, call.function), {})
        devices.setdefault(call.device, []).append(call)
    for (pass_, family, function), devices in functions.items():
        yield f"{pass_:10} {family}.{function}"
        first = next(iter(devices.values()))[0]
        said = ", ".join(each for each in first.arguments if not each.startswith("plan "))
        yield from textwrap.wrap(said, WIDTH, initial_indent="    ", subsequent_indent="    ")
        for device, each in devices.items():
            yield f"    {device:9} {_times(each)}  {each[0].file}:{each[0].line}"
            yield from _kernels([kernel for call in each for kernel in call.kernels])


def _kernels(kernels: Sequence[Kernel]) -> Iterator[str]:
    same: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in kernels:
        same.setdefault((kernel.kernel, kernel.detail), []).append(kernel)
    for (name, detail), each in same.items():
        yield f"              {_times(each)}  kernel {name}" + (f", {detail}" if detail else "")


def _times(items: Sequence[Call] | Sequence[Kernel]) -> str:
    times = f" in {len(items)} calls" if len(items) > 1 else ""
    return f"{sum(each.ms for each in items):8.3f} ms{times}"


def _group(group: FusedGroup) -> Iterator[str]:
    yield f"as one     {group.name}: kernel family {group.family}, {group.file}"
    yield from _calls(group.calls)
    for device, why in group.missing.items():
        yield f"missing    {device}: {why}"


def _indent(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    return (f"    {line}".rstrip() for line in lines)


# ---- code ---------------------------------------------------------------------------------------


def code(page: Page, key: str) -> Iterator[str]:
    """A kernel's lines of Python, beside each what was made of it."""
    listing = page.listings[key]
    where = f"{listing.file}:{listing.first_line}"
    yield f"kernel {listing.kernel} on {listing.device}  {where}"
    yield from textwrap.wrap(f"for {listing.signature}", WIDTH, subsequent_indent="    ")
    if listing.missing:
        yield f"missing: {listing.missing}"
    for name, form in list(listing.forms.items())[:1]:
        others = ", ".join(each for each in listing.forms if each != name)
        also = f" ({others}: in the page, -o net.html)" if others else ""
        yield f"{form.title}: {len(form.rows)} rows, {len(form.loops)} loops{also}"
        if form.missing:
            yield f"missing: {form.missing}"
        yield from _beside(page, listing, form.rows)


def _beside(page: Page, listing: Listing, rows: Sequence[Row]) -> Iterator[str]:
    before = ("", 0)
    for row in rows:
        here = (row.file, row.line)
        left = ""
        if row.line and here != before:
            source = page.sources.get(row.file, "").splitlines()
            text = source[row.line - 1].strip() if row.line <= len(source) else ""
            name = "" if row.file == listing.file else f"{row.file.rpartition('/')[2]}:"
            left = f"{name}{row.line} {text}"
        before = here if row.line else before
        mark = f"{row.loop:3}" if row.loop >= 0 else "   "
        yield f"{left[:LEFT]:{LEFT}} {mark} | {row.text}".rstrip()
