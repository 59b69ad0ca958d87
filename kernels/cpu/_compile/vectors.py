"""Which vectors kernels are written in: the processor's own, or those that MINICAFFE_VECTORS names.

    avx512   16 floats   12 and 8 rows      whatever the processor has
    avx2      8 floats    6 and 4 rows      without its AVX-512 instructions
    plain     4 floats    4 and 2 rows      without its AVX and FMA instructions (x86)
              4 floats    8 and 4 rows      with NEON (ARM)

The micro-kernel's tall and low tiles have so many rows (`gemm/micro_kernel.py`). Vectors that are
wider than the processor's run too, LLVM splits them: so the kernels' tests can run with each width
on any machine. Kernels of different vectors have different places in the cache.
"""

import os
from typing import Any, NamedTuple

import llvmlite.binding
import numba

from minicaffe.errors import DeviceError

config: Any = numba.config

WIDE = ("avx512", "avx10", "amx-avx512", "evex512")
ALL = ("avx", *WIDE, "fma", "f16c", "xop", "vaes", "vpclmulqdq", "sha512", "sm3", "sm4")
LEFT_OUT: dict[str, tuple[str, ...]] = {"avx512": (), "avx2": WIDE, "plain": ALL}


class Vectors(NamedTuple):
    """What kernels ask of vectors."""

    lanes: int  # floats a vector
    rows: int  # of the micro-kernel's tall tile
    low_rows: int  # of its low one
    fused: bool  # whether the processor multiplies and adds with one rounding


def features() -> str:
    """The processor's features in LLVM's words, as Numba compiles for them: `+avx2,-avx512f`."""
    if config.CPU_FEATURES is not None:
        return str(config.CPU_FEATURES)
    if config.CPU_NAME == "generic":
        return ""
    return str(llvmlite.binding.get_host_cpu_features().flatten())


def without(named: str, left_out: tuple[str, ...]) -> str:
    """The features, those whose names begin with one of `left_out` switched off."""
    words = [word for word in named.split(",") if word]
    return ",".join(
        f"-{word[1:]}" if word[1:].startswith(left_out) else word for word in words if word[1:]
    )


def widest(has: set[str]) -> str:
    """The vectors that serve a processor with these features best."""
    if "+avx512f" in has:
        return "avx512"
    return "avx2" if {"+avx2", "+fma"} <= has else "plain"


def chosen() -> Vectors:
    """The vectors of this process; Numba leaves out the instructions that they leave out.

    Raises DeviceError for a name that is not known.
    """
    name = os.environ.get("MINICAFFE_VECTORS")
    if name and name not in LEFT_OUT:
        raise DeviceError(f"MINICAFFE_VECTORS is {name!r}: it may be {', '.join(LEFT_OUT)}")
    if name and LEFT_OUT[name]:
        config.CPU_FEATURES = without(features(), LEFT_OUT[name])
    has = set(features().split(","))
    fused = "+fma" in has or "+neon" in has
    if (name or widest(has)) == "avx512":
        return Vectors(16, 12, 8, fused)
    if (name or widest(has)) == "avx2":
        return Vectors(8, 6, 4, fused)
    return Vectors(4, 8, 4, fused) if "+neon" in has else Vectors(4, 4, 2, fused)


CHOSEN = chosen()
