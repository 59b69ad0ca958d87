"""kernels/cpu/convolution/_unfolded.py: im2col, col2im, and three products."""

import numpy as np

from minicaffe.kernels.cpu.convolution import _unfolded as unfolded
from minicaffe.labs.conv.tests.convolutions import (
    ANY,
    Case,
    Shape,
    check_backward_data,
    check_backward_weight,
    check_forward,
)
from minicaffe.labs.plugin import close

IMAGE = Shape(1, 1, 1, (3, 3), (2, 2), pad=(1, 0))
COLUMNS = [  # what each tap of 2 x 2 sees of 1 ... 9, a row of zeros above and below
    [0, 0, 1, 2, 4, 5, 7, 8],
    [0, 0, 2, 3, 5, 6, 8, 9],
    [1, 2, 4, 5, 7, 8, 0, 0],
    [2, 3, 5, 6, 8, 9, 0, 0],
]


def test_im2col_of_nine_pixels(rng: np.random.Generator) -> None:
    s = Case(IMAGE, rng).plan().sizes
    col = np.full((4, 8), np.nan, np.float32)
    unfolded.im2col(s, np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3), col)
    close("col", col, COLUMNS, "3 x 3 pixels 1 ... 9, 2 x 2 taps, a row of padding above and below")


def test_col2im_of_nine_pixels(rng: np.random.Generator) -> None:
    s = Case(IMAGE, rng).plan().sizes
    x = np.full((1, 3, 3), np.nan, np.float32)
    unfolded.col2im(s, np.ones((4, 8), np.float32), x)
    expected = [[[2, 4, 2], [2, 4, 2], [2, 4, 2]]]
    said = "col of ones: how many taps see a pixel of 3 x 3; 2 x 2 taps, pad (1, 0)"
    close("x", x, expected, said)


def test_forward(rng: np.random.Generator) -> None:
    check_forward(unfolded, ANY, rng)


def test_backward_data(rng: np.random.Generator) -> None:
    check_backward_data(unfolded, ANY, rng)


def test_backward_weight(rng: np.random.Generator) -> None:
    check_backward_weight(unfolded, ANY, rng)
