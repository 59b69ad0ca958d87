"""Which device a command runs on: -device, Caffe's -gpu, or what the solver asks for."""

import argparse
import logging

from ..errors import DeviceError
from ._commands import Parser

log = logging.getLogger("minicaffe.cli")


def add_device_flags(parser: Parser) -> None:
    """-gpu as in Caffe, and -device for the others."""
    parser.flag("gpu", "run on this card, by number")
    parser.flag("device", "run on this device: cpu, reference, cuda, cuda:1 (default cpu)")


def choose_device(args: argparse.Namespace, solver_gpu: int | None = None) -> str:
    """Make the device that the flags name the default of nets, and return its name.

    `solver_gpu` is the card of a solver that says `solver_mode: GPU`; where this machine cannot
    use it, that is a warning, while a flag for one raises DeviceError.
    """
    from .. import context
    from ..device import available, check_available

    if args.device and args.gpu:
        raise DeviceError("-device and -gpu name a device each: give one of them")
    device = args.device or (_card(args.gpu) if args.gpu else "")
    if not device and solver_gpu is not None:
        if available(f"cuda:{solver_gpu}")[0]:
            device = f"cuda:{solver_gpu}"
        else:
            log.warning("The solver asks for GPU %d; there is none here.", solver_gpu)
    device = device or "cpu"
    check_available(device)
    context.current().device = device
    log.info("Use %s.", device.upper() if device == "cpu" else device)
    return device


def _card(gpu: str) -> str:
    if "," in gpu or gpu == "all":
        raise DeviceError(f"-gpu {gpu}: this command runs on one card; CaffeOnSpark on several")
    if not gpu.isdecimal():
        raise DeviceError(f"-gpu {gpu}: a card's number is expected")
    return f"cuda:{gpu}"
