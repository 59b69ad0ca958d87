"""Look into CUDA kernels while they run in an emulator: no GPU is needed.

    minicaffe cuda step relu.forward x=1000 y=1000 slope=0.1
    minicaffe cuda profile gemm.gemm a=128x64 b=64x96 c=128x96 -card A100

A kernel is named by the function that launches it: FAMILY.FUNCTION of kernels/cuda, or
FILE.py:FUNCTION of your own. After it stand its arguments: arrays by their shapes, filled with
random numbers, float32 or what follows a colon (labels=64:int32); numbers and tuples as in Python.
"""

BELOW = __name__
