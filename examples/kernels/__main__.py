"""Run and time the steps: `python -m examples.kernels --help`, at the root of the checkout."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # it is read when NumPy is loaded

    from .program import main

    sys.exit(main())
