"""kernels/reference/<the drawn function>.py: forward and backward."""

from pathlib import Path

import numpy as np

from minicaffe.device import load_kernel
from minicaffe.labs.gradient.tests.formulas import drawn, module_of, slopes, values
from minicaffe.labs.plugin import close, gradient

# Off the kinks at 0 and +-3 that some of the functions have; far out nothing may overflow.
X = np.float32([-80, -20.5, -4.25, -2.5, -1.1, -0.3, -0.02, 0.02, 0.4, 1.3, 2.75, 4.5, 20.5, 80])


def test_forward(lab_folder: Path) -> None:
    name = drawn(lab_folder)
    x, y = X.reshape(2, 7).copy(), np.full((2, 7), np.nan, np.float32)
    load_kernel(module_of(name), "reference").forward(x, y)
    close("y", y, values(name, X).reshape(2, 7), f"{name} of {X.tolist()}", 1e-4, 1e-6)
    close("x after forward", x, X.reshape(2, 7), "forward must leave it as it is", 0, 0)


def test_backward(lab_folder: Path, rng: np.random.Generator) -> None:
    name = drawn(lab_folder)
    x, dy = X.reshape(2, 7).copy(), rng.uniform(0.5, 1.5, (2, 7)).astype(np.float32)
    kept, dx = dy.copy(), np.full((2, 7), np.nan, np.float32)
    load_kernel(module_of(name), "reference").backward(x, dy, dx)
    case = f"{name}; dx is dy times the slope, overwritten"
    gradient("dx", dx, kept * slopes(name, x), case, 1e-3, 1e-5)
    close("x after backward", x, X.reshape(2, 7), "backward must leave it as it is", 0, 0)
    close("dy after backward", dy, kept, "backward must leave it as it is", 0, 0)
