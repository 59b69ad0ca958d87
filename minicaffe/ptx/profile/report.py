"""What a profiler says of a kernel, for a GPU: rows of a table, lines of its source, JSON."""

from collections import Counter
from functools import cached_property
from typing import Any

from .counters import Counters
from .gpus import Gpu
from .kinds import KINDS, kind_of
from .ptxas import Assembled, assemble

COLUMNS = (
    "kernel", "limit", "launches", "threads", "instr/thread", "lanes", "sectors", "ideal",
    "bytes used", "passes", "registers", "occupancy", "FLOP/byte", "least us",
)  # fmt: skip


class Report:
    """The counters of a kernel, and what follows from them for a GPU."""

    def __init__(self, counters: Counters, gpu: Gpu) -> None:
        self.counters, self.gpu = counters, gpu
        self.name = counters.kernel.short_name

    @cached_property
    def assembled(self) -> Assembled | None:
        """Registers and spills; None where there is no assembler."""
        return assemble(self.counters.kernel.text, self.gpu.arch)

    @cached_property
    def instructions(self) -> dict[str, float]:
        """Instructions of each kind that a thread executed on average, most first."""
        counts: Counter[str] = Counter()
        for at, instruction in enumerate(self.counters.kernel.instructions):
            counts[kind_of(instruction)] += int(self.counters.thread[at])
        threads = max(1, self.counters.threads)
        order = sorted(KINDS, key=lambda kind: -counts[kind])
        return {kind: counts[kind] / threads for kind in order if counts[kind]}

    @property
    def per_thread(self) -> float:
        """Instructions of a thread."""
        return float(self.counters.thread.sum() / max(1, self.counters.threads))

    @property
    def sectors(self) -> tuple[float, float]:
        """Sectors of a warp's request to global memory, and how many its bytes would fill."""
        counters = self.counters
        requests = max(1, int(counters.requests.sum()))
        return float(counters.sectors.sum() / requests), float(counters.ideal.sum() / requests)

    @property
    def passes(self) -> float:
        """Passes of a warp's request to shared memory; 1 without a conflict, 0 without requests."""
        return float(self.counters.passes.sum() / max(1, self.counters.parts.sum()))

    @property
    def bytes_used(self) -> float:
        """Of the bytes that were moved from and to global memory, the share asked for."""
        return float(self.counters.asked.sum() / max(1, self.counters.moved))

    @property
    def intensity(self) -> float:
        """Operations for each byte that memory must move at least."""
        return self.counters.flops / max(1, self.counters.footprint)

    @property
    def occupancy(self) -> tuple[int, float, str] | None:
        """Blocks of a multiprocessor, share of its warps, what limits them."""
        if self.assembled is None:
            return None
        block = self.counters.block
        shared = max(self.assembled.shared, self.counters.kernel.shared_bytes)
        return self.gpu.occupancy(
            block[0] * block[1] * block[2],
            self.assembled.registers,
            shared + self.counters.dynamic_shared,
        )

    @property
    def least(self) -> tuple[float, str]:
        """The least seconds of a launch on the GPU, and what takes them."""
        seconds, limit = self.gpu.seconds(self.counters.flops, self.counters.footprint)
        return seconds / max(1, self.counters.launches), limit

    def row(self) -> tuple[str, ...]:
        """For COLUMNS."""
        counters, (sectors, ideal) = self.counters, self.sectors
        occupancy, (seconds, limit) = self.occupancy, self.least
        has_global, has_shared = counters.requests.any(), counters.parts.any()
        return (
            self.name,
            limit,
            f"{counters.launches}",
            f"{counters.threads:,}",
            f"{self.per_thread:.1f}",
            f"{counters.lanes_used:.0%}",
            f"{sectors:.2f}" if has_global else "",
            f"{ideal:.2f}" if has_global else "",
            f"{self.bytes_used:.0%}" if has_global else "",
            f"{self.passes:.2f}" if has_shared else "",
            f"{self.assembled.registers}" if self.assembled else "?",
            f"{occupancy[1]:.0%}" if occupancy else "?",
            f"{self.intensity:.2f}",
            f"{1e6 * seconds:.3g}",
        )

    def lines(self) -> list[tuple[str, int, dict[str, float]]]:
        """(file, line, counts) of the lines of the source, by the text: where it happens."""
        counters = self.counters
        found: dict[tuple[str, int], Counter[str]] = {}
        for at, instruction in enumerate(counters.kernel.instructions):
            counts = found.setdefault((instruction.file, instruction.python_line), Counter())
            counts["instructions"] += int(counters.thread[at])
            for name in ("requests", "sectors", "ideal", "parts", "passes"):
                counts[name] += int(getattr(counters, name)[at])
        return [(file, line, dict(counts)) for (file, line), counts in sorted(found.items())]

    def json(self) -> dict[str, Any]:
        """All of it, as numbers."""
        counters, occupancy = self.counters, self.occupancy
        sectors, ideal = self.sectors
        return {
            "kernel": self.name,
            "gpu": self.gpu.name,
            "launches": counters.launches,
            "grid": counters.grid,
            "block": counters.block,
            "threads": counters.threads,
            "instructions_per_thread": self.instructions,
            "lanes_used": counters.lanes_used,
            "requests": int(counters.requests.sum()),
            "sectors_per_request": sectors,
            "ideal_sectors_per_request": ideal,
            "bytes_asked": int(counters.asked.sum()),
            "bytes_moved": counters.moved,
            "bytes_least": counters.footprint,
            "shared_passes_per_request": self.passes,
            "registers": self.assembled.registers if self.assembled else None,
            "spilled_bytes": self.assembled.spilled if self.assembled else None,
            "blocks_per_multiprocessor": occupancy[0] if occupancy else None,
            "occupancy": occupancy[1] if occupancy else None,
            "occupancy_limit": occupancy[2] if occupancy else None,
            "flop": counters.flops,
            "flop_per_byte": self.intensity,
            "least_seconds": self.least[0],
            "limit": self.least[1],
            "lines": [
                {"file": file, "line": line, **counts} for file, line, counts in self.lines()
            ],
        }
