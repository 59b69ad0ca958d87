"""Functions of one element."""

from tests.kernels.cuda.case import Case, normal, positive, special

PARAMS = {
    "abs_val": (), "affine": (2.0, 3.0), "bnll": (), "clip": (-1.0, 1.0), "elu": (0.5,),
    "exponential": (1.0, 2.0), "logarithm": (1.0, 0.5, 2.0), "power": (1.0, 5.0, 1.5),
    "sigmoid": (), "square": (1.0, 2.0), "swish": (0.7,), "tanh": (),
}  # fmt: skip
OF_POSITIVE = {"logarithm", "power"}

x = normal(5, 70)
CASES = [Case("forward", "tanh", x, x), Case("forward", "tanh", normal(0), normal(0))]
for name, params in PARAMS.items():
    some = positive if name in OF_POSITIVE else normal
    CASES += [
        Case("forward", name, some(5, 70), normal(5, 70), *params),
        Case("forward", name, special(3, 5), normal(3, 5), *params),
        Case("backward", name, some(5, 70), normal(5, 70), normal(5, 70), normal(5, 70), *params),
        Case("backward", name, some(5, 70), normal(5, 70), x, x, *params),
    ]
