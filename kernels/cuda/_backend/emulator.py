"""The two emulators as backends: a launch returns when it is done."""

import threading
from typing import Any

import numpy as np

from minicaffe.ptx import Kernel, Memory, checked, fast, parse


class Emulator:
    """A GPU that this machine's processor plays."""

    compute_capability = (8, 0)
    shared_bytes = 163 << 10  # of a block, as an A100 has it

    def __init__(self, name: str, card: int, budget: int | None = None) -> None:
        self.name = name
        self.device_name = f"cuda:{card}"
        self.memory = Memory()
        self.budget = budget
        self._lock = threading.RLock()  # ranks of tests are threads, which share the memory

    def allocate(self, size: int) -> int:
        """The address of so many bytes."""
        with self._lock:
            return self.memory.allocate(size)

    def free(self, address: int) -> None:
        """Give an allocation back."""
        with self._lock:
            self.memory.free(address)

    def upload(self, address: int, host: Any) -> None:
        """Copy an array of the host to the device."""
        with self._lock:
            self.memory.upload(address, host)

    def download(self, address: int, host: Any) -> None:
        """Copy back."""
        with self._lock:
            self.memory.download(address, host)

    def stage(self, host: Any) -> Any:
        """Keep an array of the host for `unstage`."""
        return np.array(host)

    def unstage(self, staged: Any, address: int, size: int) -> None:
        """Copy it to its place."""
        self.upload(address, staged)

    def fill(self, address: int, value: Any, count: int) -> None:
        """Write a number so many times."""
        with self._lock:
            self.memory.fill(address, value, count)

    def copy(self, to: int, of: int, size: int) -> None:
        """Copy bytes within the device."""
        with self._lock:
            self.memory.copy(to, of, size)

    def load(self, ptx: str, name: str) -> Any:
        """A kernel of a text; with `jit` its machine code, where it can be made."""
        kernel = parse(ptx).kernels[name]
        if self.name == "emulate":
            return kernel
        from .machine_code import machine_code_of

        return machine_code_of(kernel) or kernel

    def launch(
        self, kernel: Any, grid: Any, block: Any, shared: int, arguments: bytes, stream: Any
    ) -> None:
        """Run a kernel."""
        with self._lock:
            what = kernel, grid, block, shared, arguments, self.memory
            if isinstance(kernel, Kernel):
                checks = self.name == "emulate"
                checked.launch(*what, checks=checks, budget=self.budget or checked.BUDGET)
            else:
                fast.run(*what, budget=self.budget or fast.BUDGET)

    def synchronize(self) -> None:
        """Nothing is under way."""
