"""Kernels of the device `reference`: plain NumPy, the oracle of every parity test."""
