"""What a profiler counts, from runs of engine 1.

counters.py    instructions, lanes, sectors of global memory, passes of shared memory
kinds.py       what kind an instruction is of
gpus.py        GPUs by name: what they reach, how many blocks a multiprocessor holds
ptxas.py       registers and spills, from NVIDIA's assembler where it is installed
report.py      all that for a kernel, as rows and as JSON; picture.py draws it
"""

from .counters import Counters, Profiler
from .gpus import GPUS, Gpu
from .report import Report

__all__ = ["GPUS", "Counters", "Gpu", "Profiler", "Report"]
