"""The device `cuda` on a GPU beside PyTorch on the same: python -m benchmarks.cuda

    make bench-cuda                              all of it, in less than five minutes
    python -m benchmarks.cuda --only 'CaffeNet'  the cases whose title matches
    python -m benchmarks.cuda --rehearse         without a GPU: a few small cases, to try the script

Writes a table on standard output, and cuda.json into the output folder. Each case is checked first:
the greatest difference of the two, relative to the largest number, stands in the table. Wall time
is between waits for the device, kernel time between events on the stream: where they differ, the
host takes time. TF32 is PyTorch's tensor cores, which round what they multiply to 10 bits. Layers
for which the device lacks kernels run on the CPU; the table says so.
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

from minicaffe.device import available, load_kernel
from minicaffe.proto.text import format_text

from . import layers
from .cases import FORWARD, TRAIN, Case, Unsupported, arrays_of
from .models import caffenet, cifar10_quick, googlenet, lenet, resnet50
from .peers import Work
from .peers.ours import NetWork

CHECKOUT = Path(__file__).resolve().parent.parent
NETS = (
    (lenet, (64, 1024)), (cifar10_quick, (100, 1024)), (caffenet, (256,)), (googlenet, (128,)),
    (resnet50, (64,)),
)  # fmt: skip
SIDES = (256, 1024, 2048, 4096)  # of square products
TURNS, TURN = 5, 0.05  # of a case, and seconds of each
COPIED = 1 << 26  # floats that the copy moves: larger than any cache


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
    if not options.rehearse:
        report["copy GB/s"] = copy_speed() / 1e9
        print(f"{report['device']}; copies {report['copy GB/s']:.0f} GB/s")
    print(HEAD)
    for title, make in cases(options, torch, theirs):
        if not re.search(options.only, title):
            continue
        if time.monotonic() - begun > options.seconds:
            print(f"| {title} and what follows | left out: {options.seconds:.0f} s are over |")
            break
        row = measure(title, make, torch)
        report["rows"].append(row)
        print(line(row), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "cuda.json").write_text(json.dumps(report, indent=1))
    return int(any(row.get("wrong") for row in report["rows"]))


Make = Callable[[], tuple[Work, dict[str, Work], float]]  # ours, theirs by heading, FLOP


def cases(options: argparse.Namespace, torch: Any, theirs: str) -> Iterator[tuple[str, Make]]:
    """Products, layers, updates, whole nets; the important ones first."""
    from .peers.pytorch import TorchWork

    def net(case: Case) -> Make:
        def make() -> tuple[Work, dict[str, Work], float]:
            arrays = arrays_of(case)
            other = TorchWork(case, arrays, torch.contiguous_format, tuned=True, device=theirs)
            return NetWork(case, arrays, "cuda"), {"torch": other}, 0.0

        return make

    def product(side: int) -> Make:
        def make() -> tuple[Work, dict[str, Work], float]:
            ours = Product(side)
            return ours, {"torch": TorchProduct(ours.host, torch, theirs)}, 2.0 * side**3

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


def measure(title: str, make: Make, torch: Any) -> dict[str, Any]:
    """Check and time a case; what went wrong is in the row."""
    row: dict[str, Any] = {"title": title}
    try:
        ours, others, flops = make()
        if isinstance(ours, NetWork):
            places = {node.layer.device for node in ours.net.nodes if node.layer.kernels}
            row["title"] += " (partly on the CPU)" if places - {"cuda"} else ""
        expected = {name: work.results() for name, work in others.items()}
        row["error"] = difference(ours.results(), expected["torch"])
        row["wrong"] = row["error"] > 2e-2
        row["minicaffe"] = times(ours, torch)
        for name, work in others.items():
            for tf32 in (False, True):
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
                row[f"{name}, TF32" if tf32 else name] = times(work, torch)
        if flops:
            row["TFLOP/s"] = flops / row["minicaffe"]["wall"] / 1e12
    except Unsupported as error:
        row["reason"] = str(error)
    except Exception as error:  # one case must not end the others
        row["reason"], row["wrong"] = f"{type(error).__name__}: {error}", True
    return row


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


def copy_speed() -> float:
    """Bytes a second that a copy within the device reads and writes."""
    memory = load_kernel("memory", "cuda")
    a, b = (memory.allocate(COPIED, "cuda") for _ in range(2))
    memory.copy(a, b)
    best = 0.0
    for _ in range(5):
        memory.synchronize("cuda")
        begun = time.perf_counter()
        for _ in range(10):
            memory.copy(a, b)
        memory.synchronize("cuda")
        best = max(best, 10 * 2 * a.nbytes / (time.perf_counter() - begun))
    return best


def device_name(torch: Any) -> str:
    """The GPU's name; an emulator's, where there is none."""
    cards: list[str] = load_kernel("memory", "cuda").cards()
    return cards[0] if cards else "an emulator"


HEAD = """
| case | error | minicaffe ms | torch ms | ratio | TF32 ms | ratio | kernel ratio |
|---|---|---|---|---|---|---|---|"""


def line(row: dict[str, Any]) -> str:
    """A row of the table; ratios are torch's time / ours: above 1 is faster than torch."""
    if "reason" in row:
        return f"| {row['title']} | {row['reason']} |"
    mine, other, fast = row["minicaffe"], row["torch"], row["torch, TF32"]
    kernel = f"{other['kernel'] / mine['kernel']:.2f}" if "kernel" in mine else ""
    return (
        f"| {row['title']} | {row['error']:.1e}{' WRONG' if row['wrong'] else ''} |"
        f" {1e3 * mine['wall']:.3f} | {1e3 * other['wall']:.3f} |"
        f" {other['wall'] / mine['wall']:.2f} | {1e3 * fast['wall']:.3f} |"
        f" {fast['wall'] / mine['wall']:.2f} | {kernel} |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
