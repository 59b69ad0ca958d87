"""Parts of arrays of one to five axes."""

from tests.kernels.cuda.case import Case, normal

CASES = []
for whole, part, offsets in (
    ((9,), (4,), (3,)),
    ((3, 7), (3, 7), (0, 0)),
    ((2, 3, 7, 9), (2, 3, 4, 5), (0, 0, 2, 3)),
    ((4, 3, 7, 9), (2, 3, 7, 9), (1, 0, 0, 0)),
    ((4, 5, 6), (1, 5, 1), (3, 0, 5)),
    ((2, 3, 3, 4, 5), (1, 2, 3, 2, 4), (1, 1, 0, 2, 1)),
    ((2, 3, 5), (2, 0, 5), (0, 1, 0)),
    ((1, 4, 5), (1, 3, 4), (0, 1, 1)),
):
    CASES += [
        Case("forward", normal(*whole), normal(*part), offsets, rtol=0, atol=0),
        Case("backward", normal(*part), normal(*whole), offsets, rtol=0, atol=0),
    ]
