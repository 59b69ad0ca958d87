"""The kernels: one folder a device, one file a family, the same function names in each."""
