"""LRN over windows of channels and of pixels."""

from tests.kernels.cuda.case import Case, normal, positive, special

CASES = []
for kind in ("across", "within"):
    for shape, size, beta in (
        ((2, 7, 3, 4), 5, 0.75),
        ((1, 3, 5, 2), 3, 0.6),
        ((2, 2, 3, 3), 15, 0.75),
        ((1, 70, 1, 1), 1, 1.0),
        ((1, 2, 9, 20), 5, 2.0),
        ((0, 2, 3, 3), 3, 0.75),
    ):
        x, scale, y = normal(*shape), positive(*shape), normal(*shape)
        CASES += [
            Case(f"{kind}_forward", x, scale, y, size, 0.9, beta, 2.0),
            Case(f"{kind}_backward", x, scale, y, normal(*shape), normal(*shape), normal(*shape),
                 size, 0.9, beta, rtol=1e-4, atol=1e-4),
        ]  # fmt: skip
    for beta in (0.75, 0.5):
        shape = (1, 4, 5, 3)
        x = special(*shape)
        CASES += [
            Case(f"{kind}_forward", x, normal(*shape), normal(*shape), 3, 0.5, beta, 1.0),
            Case(f"{kind}_backward", normal(*shape), positive(*shape), x, normal(*shape),
                 normal(*shape), normal(*shape), 3, 0.5, beta, atol=1e-5),
        ]  # fmt: skip
