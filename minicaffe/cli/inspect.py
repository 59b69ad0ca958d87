"""Look inside a net, from prototxt to machine code: minicaffe inspect -model net.prototxt

One HTML file that needs no network: net, layers, kernels, instructions. -layer conv1 prints a
layer's chain instead: its lines, class, formula, kernel calls; with -kernel, each kernel's lines of
Python beside its instructions. Without a model, -kernel relu shows a kernel family by a small net,
and -ring 4 how the ring sums gradients. Where data is missing, made-up data takes its place.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._commands import Parser
from ._net_flags import add_model_flag, add_phase_flag, add_stage_flags, stages

if TYPE_CHECKING:
    from ..inspection.collect import Wanted
    from ..inspection.facts import Page, Prototxt
    from ..proto.minicaffe_pb2 import NetParameter

EMULATOR = "jit"


def configure(parser: Parser) -> None:
    """What to look at, on which devices, and how it is to be shown."""
    add_model_flag(parser)
    parser.flag("weights", "a .caffemodel for the net", metavar="FILE")
    add_phase_flag(parser, "TRAIN")
    parser.flag("device", "the net's device (default cpu)", default="cpu")
    parser.flag(
        "devices",
        "devices on which its layers are traced too (default reference,cpu,cuda; without a card, an"
        " emulator runs CUDA's kernels)",
        default="reference,cpu,cuda",
        metavar="NAMES",
    )
    parser.flag("iterations", "how often layers are timed (default 10)", type=int, default=10)
    parser.flag(
        "batch",
        "how many samples a batch has at most (default 4; 0: as the prototxt says)",
        type=int,
        default=4,
    )
    parser.flag("layer", "only these layers", nargs="+", default=[], metavar="NAMES")
    parser.flag("kernel", "only this kernel family, or kernel: with its code", metavar="NAME")
    parser.flag("format", "html, json or text", choices=("", "html", "json", "text"))
    parser.flag("o", "the file to write (default NET.html)", metavar="FILE")
    parser.switch("dummy", "made-up data in place of all layers that read data")
    parser.flag(
        "shape",
        "shapes of made-up data, such as data:4,1,28,28",
        nargs="+",
        default=[],
        metavar="BLOB:N,N",
    )
    parser.flag("ring", "how the ring sums, with so many ranks", type=int, default=0)
    add_stage_flags(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Collect, and print or write."""
    if args.ring:
        return _ring(args)
    if not (args.model or args.kernel):
        args.error("a model is needed: -model FILE (or -kernel FAMILY, or -ring RANKS)")
    if args.iterations < 1:
        args.error(f"-iterations {args.iterations}: at least 1 is expected")
    if args.batch < 0:
        args.error(f"-batch {args.batch}: 0 or more is expected")
    import logging

    from ..device import check_available
    from ..inspection.collect import inspect_net

    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    how = args.format or ("text" if not args.o and (args.layer or args.kernel) else "html")
    param, file = _net(args)
    with _emulated(args) as devices:
        check_available(args.device)
        page = inspect_net(param, file, _wanted(args, devices, how), _tell)
    for note in page.made.notes:
        _tell(note)
    for name, why in page.made.missing.items():
        _tell(f"{name}: {why}")
    _give(args, how, page)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _net(args: argparse.Namespace) -> tuple[NetParameter, Prototxt]:
    from ..inspection.facts import Prototxt
    from ..inspection.family import small_net
    from ..proto.files import read_net

    if not args.model:
        return small_net(args.kernel)
    param = read_net(args.model)
    param.state.level = args.level
    param.state.stage.extend(stages(args))
    with open(args.model, encoding="utf-8", errors="replace") as text:
        return param, Prototxt(args.model, text.read())


def _wanted(args: argparse.Namespace, devices: tuple[str, ...], how: str) -> Wanted:
    from ..inspection.collect import Wanted

    return Wanted(
        phase=args.phase,
        device=args.device,
        devices=devices,
        iterations=args.iterations,
        layers=tuple(args.layer),
        batch=args.batch,
        dummy=args.dummy,
        shapes=tuple(_shape(word, args) for word in args.shape),
        weights=args.weights,
        kernel=args.kernel,
        code=how != "text" or bool(args.kernel),
        pictures=how != "text",
    )


def _shape(word: str, args: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    """ "data:4,1,28,28" """
    name, _, extents = word.rpartition(":")
    numbers = extents.split(",")
    if not name or not all(each.isdecimal() and int(each) > 0 for each in numbers):
        args.error(f"-shape {word}: a blob and its extents are expected, such as data:4,1,28,28")
    return name, tuple(map(int, numbers))


@contextmanager
def _emulated(args: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """The devices; where CUDA has no card, its kernels run in the emulator meanwhile."""
    from ..device import available, folder, known_devices

    devices = tuple(filter(None, args.devices.split(",")))
    for name in devices:
        if folder(name) not in known_devices():
            args.error(f"-devices: no device '{name}' (there are: {', '.join(known_devices())})")
    variable = "MINICAFFE_CUDA"
    asked = [name for name in (*devices, args.device) if folder(name) == "cuda"]
    if asked and variable not in os.environ and not available(asked[0])[0]:
        os.environ[variable] = EMULATOR
        try:
            yield devices
        finally:
            del os.environ[variable]
    else:
        yield devices


def _give(args: argparse.Namespace, how: str, page: Page) -> None:
    """Print or write the page."""
    from ..inspection.as_json import dumps
    from ..machine.whole_file import whole_file

    if how == "html":
        from ..inspection.page import write

        stem = os.path.splitext(os.path.basename(args.model or args.kernel))[0]
        path = args.o or f"{stem}.html"
        write(page, path)
        print(f"{path}: {os.path.getsize(path) >> 10} KB, open it in a browser")
        return
    text = dumps(page) if how == "json" else "\n".join(_lines(args, page))
    if not args.o:
        print(text)
        return
    with whole_file(args.o) as beside:
        beside.write_text(f"{text}\n", encoding="utf-8")
    print(f"{args.o}: {os.path.getsize(args.o) >> 10} KB")


def _lines(args: argparse.Namespace, page: Page) -> Iterator[str]:
    from ..inspection.text import chain, code

    layers = [layer for layer in page.layers if layer.calls or not args.kernel]
    for number, layer in enumerate(layers):
        yield from [""] * bool(number)
        yield from chain(page, layer)
    if args.kernel:
        for key in page.listings:
            yield ""
            yield from code(page, key)
    elif page.listings:
        one = next(iter(page.listings.values())).kernel
        yield f"code       -kernel {one} shows its Python beside what was made of it"


def _ring(args: argparse.Namespace) -> None:
    from ..inspection.ring_view import write

    if args.ring < 2:
        args.error(f"-ring {args.ring}: at least 2 ranks are expected")
    path = args.o or "ring.html"
    write(args.ring, path)
    print(f"{path}: {os.path.getsize(path) >> 10} KB, open it in a browser")
