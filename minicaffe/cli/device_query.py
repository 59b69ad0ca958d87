"""Show the devices that nets can run on: minicaffe device_query [-gpu 0|all]"""

import argparse
import os
import platform

from ._commands import Parser


def configure(parser: Parser) -> None:
    """Caffe's flag."""
    parser.flag("gpu", "the cards to show, by number, separated by ',', or all", default="all")


def run(args: argparse.Namespace) -> None:
    """Print a line for each device, and some for each card."""
    from ..device import available, known_devices, known_families
    from ..errors import DeviceError

    for device in known_devices():
        can, why = available(device)
        families = len(known_families(device) - {"memory"})
        print(f"{device}: {families} kernel families" + ("" if can else f"; {why}"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"processor: {platform.processor() or platform.machine()}, {cores} cores")
    cards = _cards()
    if args.gpu == "all":
        wanted = list(range(len(cards)))
    elif all(word.isdecimal() for word in args.gpu.split(",")):
        wanted = [int(word) for word in args.gpu.split(",")]
    else:
        raise DeviceError(f"-gpu {args.gpu}: numbers of cards are expected, or all")
    for number in wanted:
        if number >= len(cards):
            raise DeviceError(f"no card {number} (there are {len(cards)})")
        print(f"cuda:{number}: {cards[number]}")
    if not cards:
        print("no NVIDIA card that a driver knows")


def _cards() -> list[str]:
    """Name, compute capability and memory of each CUDA card."""
    from ..device import load_kernel

    cards: list[str] = load_kernel("memory", "cuda").cards()
    return cards
