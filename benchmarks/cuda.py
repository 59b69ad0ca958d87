"""The device `cuda` on a GPU beside PyTorch on the same: python -m benchmarks.cuda

    make bench-cuda                              all of it, in less than five minutes
    python -m benchmarks.cuda --only 'CaffeNet'  the cases whose title matches
    python -m benchmarks.cuda --rehearse         without a GPU: a few small cases, to try the script

Writes a table on standard output, and cuda.json into the output folder. Each case is checked first:
the greatest difference of the two, relative to the largest number, stands in the table. Wall time
is between waits for the device, kernel time between events on the stream: where they differ, the
host takes time. TF32 is tensor cores, which round what they multiply to 10 bits, of both; cases
without products have no such columns. The share is of what the card reaches by our own kernels
(cuda_peaks.py): of its float32, or of its copies, whichever the case needs more of. Layers for
which the device lacks kernels run on the CPU; the table says so.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import set_precision
from minicaffe.device import available, load_kernel
from minicaffe.net.cost import layer_cost
from minicaffe.net.net import Net
from minicaffe.proto.text import format_text

from . import layers
from .cases import BACKWARD, FORWARD, TRAIN, UPDATE, Case, Unsupported, arrays_of
from .cuda_peaks import copy_speed, float32_speed, tf32_speed
from .models import caffenet, cifar10_quick, googlenet, lenet, resnet50
from .peers import Work
from .peers.ours import NetWork

CHECKOUT = Path(__file__).resolve().parent.parent
NETS = (
    (lenet, (64, 1024)), (cifar10_quick, (100, 1024)), (caffenet, (256,)), (googlenet, (128,)),
    (resnet50, (64,)),
)  # fmt: skip
SIDES = (256, 1024, 2048, 4096)  # of square products
WITH_PRODUCTS = ("Convolution", "Deconvolution", "InnerProduct", "LSTM", "RNN")
TURNS, TURN = 5, 0.05  # of a case, and seconds of each


class Product(Work):
    """C = A B, by the kernels of a device."""

    def __init__(self, side: int) -> None:
        memory = load_kernel("memory", "cuda")
        rng = np.random.default_rng(0)
        self.host = [rng.standard_normal((side, side), np.float32) for _ in range(2)]
        self.arrays = [memory.allocate(side * side, "cuda").reshape(side, side) for _ in range(3)]
        for host, array in zip(self.host, self.arrays, strict=False):
            memory.upload(host, array)
        gemm = load_kernel("gemm", "cuda").gemm
        self.call = lambda: gemm(*self.arrays)

    def wait(self) -> None:
        """Wait for the device."""
        load_kernel("memory", "cuda").synchronize("cuda")

    def results(self) -> dict[str, Any]:
        """The product."""
        self.call()
        found = np.empty_like(self.host[0])
        load_kernel("memory", "cuda").download(self.arrays[2], found)
        return {"c": found}


class TorchProduct(Work):
    """The same by PyTorch."""

    def __init__(self, host: list[Any], torch: Any, device: str) -> None:
        a, b = (torch.from_numpy(each).to(device) for each in host)
        c = torch.empty_like(a)
        self.torch, self.c = torch, c
        self.call = lambda: torch.mm(a, b, out=c)

    def wait(self) -> None:
        """Wait for the device."""
        if self.c.is_cuda:
            self.torch.cuda.synchronize()

    def results(self) -> dict[str, Any]:
        """The product."""
        self.call()
        return {"c": self.c.cpu().numpy()}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuda",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="cases whose title matches (a regex)")
    parser.add_argument("--seconds", type=float, default=270, help="begin no case after so long")
    parser.add_argument("--rehearse", action="store_true", help="small, on an emulator")
    parser.add_argument("--output", type=Path, default=CHECKOUT / ".benchmarks")
    return parser.parse_args()


def main() -> int:
    """Measure, print, save."""
    import torch  # here: the rest of the benchmarks does without

    options = arguments()
    can, why = available("cuda")
    if not can:
        print(why)
        return 1
    theirs = "cuda" if torch.cuda.is_available() else "cpu"
    begun = time.monotonic()
    report: dict[str, Any] = {"device": device_name(torch), "torch": torch.__version__, "rows": []}
    few: dict[str, Any] = {"blocks": 2, "steps": 64} if options.rehearse else {}
    report["FLOP/s"], report["TF32 FLOP/s"] = float32_speed(**few), tf32_speed(**few)
    report["copied B/s"] = copy_speed(1 << 10) if options.rehearse else copy_speed()
    speeds = [report[name] / 1e12 for name in ("FLOP/s", "TF32 FLOP/s", "copied B/s")]
    print(
        "{}: {:.3g} TFLOP/s, {:.3g} with TF32, copies {:.3g} TB/s".format(report["device"], *speeds)
    )
    print(HEAD)
    for title, make in cases(options, torch, theirs):
        if not re.search(options.only, title):
            continue
        if time.monotonic() - begun > options.seconds:
            print(f"| {title} and what follows | left out: {options.seconds:.0f} s are over |")
            break
        row = measure(title, make, torch)
        row["share"] = share(row, report)
        report["rows"].append(row)
        print(line(row), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "cuda.json").write_text(json.dumps(report, indent=1))
    return int(any(row.get("wrong") for row in report["rows"]))


# Ours, theirs, operations, bytes that memory must move at least.
Make = Callable[[], tuple[Work, Work, float, float]]


def cases(options: argparse.Namespace, torch: Any, theirs: str) -> Iterator[tuple[str, Make]]:
    """Products, layers, updates, whole nets; the important ones first."""
    from .peers.pytorch import TorchWork

    def net(case: Case) -> Make:
        def make() -> tuple[Work, Work, float, float]:
            arrays = arrays_of(case)
            other = TorchWork(case, arrays, torch.contiguous_format, tuned=True, device=theirs)
            ours = NetWork(case, arrays, "cuda")
            return ours, other, *cost_of(case, ours.net)

        return make

    def product(side: int) -> Make:
        def make() -> tuple[Work, Work, float, float]:
            ours = Product(side)
            other = TorchProduct(ours.host, torch, theirs)
            return ours, other, 2.0 * side**3, 12.0 * side**2

        return make

    yield from (
        (f"gemm {n} x {n} x {n}", product(n)) for n in (SIDES if not options.rehearse else (32,))
    )
    if options.rehearse:
        small = layers.one_layer("ReLU", ((2, 3, 4, 5),), {})
        yield "ReLU", net(Case("layers", "ReLU", small, FORWARD))
        text = format_text(lenet.net(2, deploy=False))
        yield "LeNet, batch 2", net(Case("nets", "LeNet, batch 2", text, TRAIN))
        return
    for model, batches in NETS:
        for batch in batches:
            param = model.net(batch, deploy=False)
            title = f"{param.name}, batch {batch}, train"
            classes = 10 if model in (lenet, cifar10_quick) else 1000
            case = Case("nets", title, format_text(param), TRAIN, classes).without_dropout()
            yield title, net(case)
    for table in (layers.convolutions, layers.products, layers.others, layers.updates):
        for case in table():
            yield case.title, net(case)


def cost_of(case: Case, net: Net) -> tuple[float, float]:
    """Operations of a case, and bytes that memory must move at least (minicaffe/net/cost.py).

    An update reads weights, gradients and history, and writes weights, history and what it did.
    """
    update = 6 * 4 * net.flat_params.count
    if case.work == UPDATE:
        return 0.0, update
    forward = case.work != BACKWARD
    backward = case.work != FORWARD
    costs = [layer_cost(net, index) for index in range(len(net.nodes))]
    return (
        sum(each.forward_flops * forward + each.backward_flops * backward for each in costs),
        sum(each.forward_bytes * forward + each.backward_bytes * backward for each in costs)
        + update * (case.work == TRAIN),
    )


def measure(title: str, make: Make, torch: Any) -> dict[str, Any]:
    """Check and time a case; what went wrong is in the row."""
    row: dict[str, Any] = {"title": title}
    try:
        ours, other, row["flop"], row["bytes"] = make()
        has_products = "gemm" in title
        if isinstance(ours, NetWork):
            places = {node.layer.device for node in ours.net.nodes if node.layer.kernels}
            row["title"] += " (partly on the CPU)" if places - {"cuda"} else ""
            has_products = any(node.layer.type in WITH_PRODUCTS for node in ours.net.nodes)
        row["error"] = difference(ours.results(), other.results())
        row["wrong"] = row["error"] > 2e-2
        for tf32 in (False, True) if has_products else (False,):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            set_precision("tf32" if tf32 else "float32")
            begin = "TF32, " if tf32 else ""
            row[f"{begin}minicaffe"], row[f"{begin}torch"] = times(ours, torch), times(other, torch)
    except Unsupported as error:
        row["reason"] = str(error)
    except Exception as error:  # one case must not end the others
        row["reason"], row["wrong"] = f"{type(error).__name__}: {error}", True
    finally:
        set_precision("float32")
    return row


def share(row: dict[str, Any], report: dict[str, Any]) -> float:
    """Of the least time in which the card could do it, of the time that it took."""
    if "reason" in row:
        return 0.0
    least = max(row["flop"] / report["FLOP/s"], row["bytes"] / report["copied B/s"])
    mine = row["minicaffe"]
    return float(least / mine.get("kernel", mine["wall"]))


def times(work: Work, torch: Any) -> dict[str, float]:
    """Seconds of a call: wall, and between events on the stream; medians over turns."""
    work.run(3)
    once = max(work.run(1).wall, 1e-6)
    calls = max(1, round(TURN / once))
    wall, kernel = [], []
    for _ in range(TURNS):
        if torch.cuda.is_available():
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before.record()
            wall.append(work.run(calls).wall)
            after.record()
            torch.cuda.synchronize()
            kernel.append(before.elapsed_time(after) / 1e3 / calls)
        else:
            wall.append(work.run(calls).wall)
    found = {"wall": statistics.median(wall)}
    return found | ({"kernel": statistics.median(kernel)} if kernel else {})


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The greatest difference, relative to the largest number of its array."""
    worst = 0.0
    for key in ours.keys() & theirs.keys():
        a, b = np.asarray(ours[key], np.float64), np.asarray(theirs[key], np.float64)
        worst = max(worst, float(np.abs(a - b.reshape(a.shape)).max() / (np.abs(b).max() + 1e-30)))
    return worst


def device_name(torch: Any) -> str:
    """The GPU's name; an emulator's, where there is none."""
    cards: list[str] = load_kernel("memory", "cuda").cards()
    return cards[0] if cards else "an emulator"


HEAD = """
| case | error | ms | torch ms | ratio | kernel ratio | share | TF32: ms | torch ms | ratio |
|---|---|---|---|---|---|---|---|---|---|"""


def line(row: dict[str, Any]) -> str:
    """A row of the table; ratios are torch's time / ours: above 1 is faster than torch."""
    if "reason" in row:
        return f"| {row['title']} | {row['reason']} |"
    error = f"{row['error']:.1e}{' WRONG' if row['wrong'] else ''}"
    mine, other = row["minicaffe"], row["torch"]
    kernel = f"{other['kernel'] / mine['kernel']:.2f}" if "kernel" in mine else ""
    cells = [row["title"], error, *ratio(mine, other), kernel, f"{row['share']:.0%}"]
    if "TF32, minicaffe" in row:
        cells += ratio(row["TF32, minicaffe"], row["TF32, torch"])
    return f"| {' | '.join(cells)} |"


def ratio(mine: dict[str, float], other: dict[str, float]) -> list[str]:
    """Milliseconds of both, and how often the one fits into the other."""
    return [
        f"{1e3 * mine['wall']:.3f}",
        f"{1e3 * other['wall']:.3f}",
        f"{other['wall'] / mine['wall']:.2f}",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
