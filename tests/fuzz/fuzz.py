"""Damaged files: each must be read, or refused with one of our own errors.

    python -m tests.fuzz.fuzz --count 20000 --seed 1        all kinds of files
    python -m tests.fuzz.fuzz --count 20000 --seed 1 --kind lmdb    one kind of them
    python -m tests.fuzz.fuzz --seed 1 --case 1234          one case, with its traceback

Case number n of a seed (and kind) is always the same. A case fails when reading it raises anything
but `minicaffe.errors.Error`, takes more than 2 seconds of the processor or 10 on the clock, ends
the process, or asks for more memory than twice what the honest files of its kind take (and what an
allocator rounds it to): RLIMIT_AS and two timers of the child that reads it see to that.
Cases run in child processes, a batch in each, so that a crash is caught and has a name.
"""

import argparse
import ctypes
import logging
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Before NumPy is loaded: children are forked from a process of one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MINICAFFE_NUM_THREADS"] = "1"

from minicaffe.errors import Error
from tests.fuzz import fuzz_targets
from tests.fuzz.fuzz_targets import Target, targets

SECONDS = 2.0  # of processor time a case
LONGEST = 10.0  # seconds on the clock a case
PATIENCE = 60.0  # seconds without news after which a child hangs that the clock could not end
BATCH = 250
ROUNDING = 32 << 20  # bytes: what an allocator, and a thread's stack, take at once
M_ARENA_MAX = -8  # of glibc's malloc.h


@dataclass(frozen=True)
class Finding:
    """A case that failed, and how."""

    case: int
    kind: str
    what: str


class Fuzzer:
    """Cases by number, from one seed; their files are in a folder of its own."""

    def __init__(self, seed: int, folder: Path, kind: str | None = None) -> None:
        self.seed = seed
        self.folder = folder
        os.chdir(folder)
        # One arena for all threads: each of its own would take 128 MB of addresses.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
        self.targets: dict[str, Target] = targets(folder)
        if kind is not None:
            if kind not in self.targets:
                raise SystemExit(f"no kind '{kind}' (there are: {', '.join(sorted(self.targets))})")
            self.targets = {kind: self.targets[kind]}
        self.limits = {kind: 2 * need + ROUNDING for kind, need in self._needs().items()}

    def _needs(self) -> dict[str, int]:
        """By how many bytes the process grows when it reads the honest files of each kind."""
        needs = {}
        for kind, target in self.targets.items():
            reading, writing = os.pipe()
            if (child := os.fork()) == 0:
                before = _address_space()
                for example in target.examples:
                    self._place(target, example)
                    target.read(target.name)
                os.write(writing, str(max(_largest_address_space() - before, 0)).encode())
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading, "rb") as stream:
                grown = stream.read()
            if os.waitpid(child, 0)[1] != 0 or not grown:
                raise SystemExit(f"the honest files of kind '{kind}' cannot be read")
            needs[kind] = int(grown)
        return needs

    def kind(self, case: int) -> str:
        """The kind of a case."""
        return random.Random(f"{self.seed} {case}").choice(sorted(self.targets))

    def make(self, case: int) -> tuple[str, bytes]:
        """Kind and content of a case."""
        chance = random.Random(f"{self.seed} {case}")
        kind = chance.choice(sorted(self.targets))
        target = self.targets[kind]
        example = chance.choice(target.examples)
        changed = target.change(example, chance)
        return kind, changed

    @staticmethod
    def _place(target: Target, content: bytes) -> None:
        path = Path(target.name)
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(content)

    def read(self, case: int) -> str:
        """Run a case in this process: "read", "refused", or what is wrong."""
        kind, content = self.make(case)
        target = self.targets[kind]
        self._place(target, content)
        soft = _address_space() + self.limits[kind]
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # SIGPROF and SIGALRM end the process
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            target.read(target.name)
        except Error:
            return "refused"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return f"{type(error).__name__} at {where}: {error}"[:300]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return "read"

    def run(self, cases: range) -> Iterator[tuple[int, float, str]]:
        """Seconds of the processor and outcome of each case, from children.

        A child that dies is replaced.
        """
        start = cases.start
        while start < cases.stop:
            for outcome in self._batch(range(start, min(start + BATCH, cases.stop))):
                yield outcome
                start = outcome[0] + 1

    def _batch(self, cases: range) -> Iterator[tuple[int, float, str]]:
        """Outcomes until the child has done all cases or has died in one."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as stream:
                for case in cases:
                    started = time.process_time()
                    outcome = self.read(case).encode("ascii", "backslashreplace").decode()
                    took = time.process_time() - started
                    stream.write(" ".join([f"{took:.3f}", *outcome.split()]) + "\n")
            os._exit(0)
        os.close(writing)
        done = cases.start
        with os.fdopen(reading, "r") as stream:
            while done < cases.stop and select.select([stream], [], [], PATIENCE)[0]:
                line = stream.readline()
                if not line.endswith("\n"):
                    break
                took, _, outcome = line.strip().partition(" ")
                yield done, float(took), outcome
                done += 1
            else:
                if done < cases.stop:
                    os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if done < cases.stop:
            yield done, 0.0, _cause(status)


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return f"takes more than {SECONDS:g} s of the processor"
        if number == signal.SIGALRM:
            return f"takes more than {LONGEST:g} s on the clock"
        if number == signal.SIGKILL:
            return f"hangs: no answer within {PATIENCE:g} s"
        return f"ends the process: {signal.Signals(number).name}"
    return f"ends the process with status {os.waitstatus_to_exitcode(status)}"


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _largest_address_space() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmPeak:"):
            return int(line.split()[1]) * 1024
    return 0


def fuzz(
    count: int, seed: int, first: int = 0, only: str | None = None
) -> tuple[list[Finding], Counter[str], dict[str, float]]:
    """Run so many cases; those that failed, how many were read and refused of each kind, and the
    seconds of the processor of the slowest of each that did not fail."""
    findings: list[Finding] = []
    tally: Counter[str] = Counter()
    slowest: dict[str, float] = {}
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            fuzzer = Fuzzer(seed, Path(folder), only)
            for case, took, outcome in fuzzer.run(range(first, first + count)):
                kind = fuzzer.kind(case)
                slowest[kind] = max(slowest.get(kind, 0), took)
                good = outcome in ("read", "refused")
                tally[f"{kind} {outcome if good else 'FAILED'}"] += 1
                if not good:
                    findings.append(Finding(case, kind, outcome))
                    print(f"case {case} ({kind}): {outcome}", flush=True)
        finally:
            os.chdir(home)
    return findings, tally, slowest


def show(seed: int, case: int, only: str | None) -> None:
    """Run one case in this process, and let its exception through."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(seed, Path(folder), only)
        kind, content = fuzzer.make(case)
        print(f"kind {kind}, {len(content)} bytes")
        if kind in ("net", "solver"):
            print(content.decode("utf-8", "replace"))
        target = fuzzer.targets[kind]
        fuzzer._place(target, content)
        started = time.process_time()
        try:
            target.read(target.name)
        finally:
            seconds, limit = time.process_time() - started, fuzzer.limits[kind]
            print(f"{seconds:.2f} s; it may take {limit:,} bytes more than it had")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="run this one alone, with its traceback")
    parser.add_argument("--kind", help="cases of this kind of file alone")
    parser.add_argument("--device", default="reference", help="on which nets run")
    args = parser.parse_args()
    fuzz_targets.DEVICE = args.device
    warnings.simplefilter("ignore")
    logging.getLogger("minicaffe").setLevel(logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    if args.case is not None:
        show(args.seed, args.case, args.kind)
        return 0
    started = time.monotonic()
    findings, tally, slowest = fuzz(args.count, args.seed, args.first, args.kind)
    for name, number in sorted(tally.items()):
        print(f"{name:24} {number:6}")
    for kind, took in sorted(slowest.items()):
        print(f"{kind:16} slowest {took:6.3f} s")
    print(f"{args.count} cases, {len(findings)} failed, {time.monotonic() - started:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
