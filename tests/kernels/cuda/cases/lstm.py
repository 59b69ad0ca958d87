"""Steps of a long short-term memory."""

from tests.kernels.cuda.case import Case, integers, normal, positive, special

CASES = []
for count, size in ((3, 50), (70, 5), (1, 1)):
    cell, gates = (count, size), (count, 4 * size)
    acts, dc, cont = normal(*gates), normal(*cell), integers(2, count, dtype="float32")
    CASES += [
        Case("forward", normal(*cell), normal(*gates), cont, normal(*gates), normal(*cell),
             normal(*cell)),
        Case("forward", normal(*cell), acts, cont, acts, normal(*cell), normal(*cell)),
        Case("backward", normal(*cell), positive(*gates), normal(*cell), None, normal(*cell),
             normal(*cell), normal(*gates)),
        Case("backward", normal(*cell), positive(*gates), normal(*cell), dc, normal(*cell), dc,
             normal(*gates)),
    ]  # fmt: skip
CASES += [
    Case("forward", normal(2, 3), 90 * normal(2, 12), positive(2), normal(2, 12), normal(2, 3),
         normal(2, 3)),
    Case("forward", special(2, 3), special(2, 12), positive(2), normal(2, 12), normal(2, 3),
         normal(2, 3)),
    Case("backward", special(2, 3), special(2, 12), special(2, 3), None, special(2, 3),
         normal(2, 3), normal(2, 12)),
]  # fmt: skip
