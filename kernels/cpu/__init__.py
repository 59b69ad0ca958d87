"""Kernels of the device `cpu`: loops compiled by Numba, around one vector micro-kernel."""
