"""Flags that several commands have: which net, which of its layers, on which device, and how."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError
from ._commands import Parser

if TYPE_CHECKING:
    from ..pycaffe.net import Net

log = logging.getLogger("minicaffe.cli")


def add_model_flag(parser: Parser) -> None:
    """-model, a prototxt."""
    parser.flag("model", "the net's prototxt", metavar="FILE")


def add_phase_flag(parser: Parser, default: str) -> None:
    """-phase, TRAIN or TEST."""
    parser.flag(
        "phase",
        f"TRAIN or TEST (default {default})",
        default=default,
        choices=("TRAIN", "TEST"),
    )


def add_stage_flags(parser: Parser) -> None:
    """-level and -stage, which select layers of the net besides its phase."""
    parser.flag("level", "the net's level", type=int, default=0)
    parser.flag("stage", "the net's stages, separated by ','", metavar="NAMES")


def stages(args: argparse.Namespace) -> list[str]:
    """The names that -stage gives."""
    return args.stage.split(",") if args.stage else []


def build_net(args: argparse.Namespace, **options: Any) -> Net:
    """The net that -model, -phase (TEST without such a flag), -level and -stage select."""
    from .. import TEST, TRAIN
    from ..pycaffe.net import Net

    phase = TRAIN if getattr(args, "phase", "TEST") == "TRAIN" else TEST
    return Net(args.model, phase, level=args.level, stages=stages(args), **options)


def add_memory_switch(parser: Parser) -> None:
    """-noshare_memory gives every blob of a test net its own memory."""
    parser.switch(
        "share_memory",
        "let blobs of test nets that are not needed at the same time use the same memory"
        " (default true)",
        default=True,
    )


def add_fusion_switch(parser: Parser) -> None:
    """-nofuse runs every layer on its own."""
    parser.switch(
        "fuse",
        "run neighbouring layers that work in place as one, where there is a kernel for them"
        " (default true)",
        default=True,
    )


def add_check_switch(parser: Parser) -> None:
    """-check, to find the kernel that writes where it must not."""
    parser.switch(
        "check",
        "compile kernels that check their indices, which is slower: one that reads or writes"
        " beyond the end of an array is named",
    )


def check_kernels() -> None:
    """Let kernels be compiled with bounds checks from now on; said before the first is loaded."""
    os.environ["NUMBA_BOUNDSCHECK"] = "1"
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()


def add_device_flags(parser: Parser) -> None:
    """-gpu as in Caffe, and -device for the others."""
    parser.flag("gpu", "run on this card, by number")
    parser.flag("device", "run on this device: cpu, or reference, which is NumPy (default cpu)")
    parser.flag(
        "precision",
        "tf32: tensor cores multiply matrices and convolve, 10 bits of each factor (on cuda)",
        default="float32",
        choices=("float32", "tf32"),
    )


def choose_device(args: argparse.Namespace, solver_gpu: int | None = None) -> str:
    """Make the device that the flags name the default of nets, and return its name.

    `solver_gpu` is the card of a solver that says `solver_mode: GPU`; where this machine cannot
    use it, that is a warning, while a flag for one raises DeviceError.
    """
    from .. import context
    from ..device import available, check_available, check_precision

    if getattr(args, "check", False):
        check_kernels()
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
    precision = getattr(args, "precision", "float32")
    check_precision(precision, device)
    context.current().device, context.current().precision = device, precision
    log.info("Use %s.", device.upper() if device == "cpu" else device)
    return device


def _card(gpu: str) -> str:
    if "," in gpu or gpu == "all":
        raise DeviceError(f"-gpu {gpu}: this command runs on one card; CaffeOnSpark on several")
    if not gpu.isdecimal():
        raise DeviceError(f"-gpu {gpu}: a card's number is expected")
    return f"cuda:{gpu}"
