"""GPUs by name: what they reach at most, and how many threads their multiprocessors hold.

Figures: NVIDIA's data sheets (float32 without tensor cores; memory), and the CUDA programming
guide's table of compute capabilities.
"""

from dataclasses import dataclass

WARP = 32
_REGISTERS = 65536  # of a multiprocessor
_REGISTER_UNIT = 256  # registers are given to a warp in such pieces
_SHARED_UNIT = 128


@dataclass(frozen=True)
class Limits:
    """What a multiprocessor holds: warps, blocks, shared memory; bytes that each block loses."""

    warps: int
    blocks: int
    shared: int
    reserved: int = 1024


LIMITS = {
    (7, 5): Limits(32, 16, 64 << 10, 0),
    (8, 0): Limits(64, 32, 164 << 10),
    (8, 6): Limits(48, 16, 100 << 10),
    (8, 9): Limits(48, 24, 100 << 10),
    (9, 0): Limits(64, 32, 228 << 10),
}


@dataclass(frozen=True)
class Gpu:
    """A GPU: operations and bytes a second at most, multiprocessors, compute capability."""

    name: str
    flops: float
    bandwidth: float
    multiprocessors: int
    capability: tuple[int, int]

    @property
    def arch(self) -> str:
        """As the assembler calls it: sm_80."""
        return f"sm_{self.capability[0]}{self.capability[1]}"

    @property
    def balance(self) -> float:
        """Operations a byte from which on arithmetic is the limit."""
        return self.flops / self.bandwidth

    def seconds(self, flops: float, nbytes: float) -> tuple[float, str]:
        """The least time for so many operations and bytes, and which of them takes it."""
        return max((flops / self.flops, "arithmetic"), (nbytes / self.bandwidth, "memory"))

    def occupancy(self, threads: int, registers: int, shared: int) -> tuple[int, float, str]:
        """(blocks of a multiprocessor, share of its warps, what limits them)."""
        limits = LIMITS[self.capability]
        warps = -(-threads // WARP)
        of_a_warp = -(-max(registers, 1) * WARP // _REGISTER_UNIT) * _REGISTER_UNIT
        room = -(-(shared + limits.reserved) // _SHARED_UNIT) * _SHARED_UNIT
        most = {
            "warps": limits.warps // warps,
            "registers": _REGISTERS // of_a_warp // warps,
            "blocks": limits.blocks,
            "shared memory": limits.shared // room if shared else limits.blocks,
        }
        limit = min(most, key=lambda name: most[name])
        return most[limit], most[limit] * warps / limits.warps, limit


GPUS = {
    gpu.name.lower(): gpu
    for gpu in (
        Gpu("T4", 8.1e12, 320e9, 40, (7, 5)),
        Gpu("A100", 19.5e12, 1555e9, 108, (8, 0)),
        Gpu("RTX3090", 35.6e12, 936e9, 82, (8, 6)),
        Gpu("L4", 30.3e12, 300e9, 58, (8, 9)),
        Gpu("RTX4090", 82.6e12, 1008e9, 128, (8, 9)),
        Gpu("H100", 66.9e12, 3350e9, 132, (9, 0)),
        Gpu("H200", 66.9e12, 4800e9, 132, (9, 0)),
    )
}
