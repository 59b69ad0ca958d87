"""The environment of `make bench`: one thread for everybody, set before any library is loaded."""

import os

from benchmarks.environment import BLAS_CHOICES, THREADS

for name in THREADS:
    os.environ[name] = "1"
for name in BLAS_CHOICES:
    os.environ.pop(name, None)
