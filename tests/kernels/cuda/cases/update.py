"""Updates: the rule of each solver, with both kinds of regularisation, and of a new one."""

from importlib import import_module

from tests.kernels.cuda.case import Case, normal, positive

RULES = [  # module, class, sets of history, numbers
    ("sgd", "SGDSolver", 1, (0.9,)),
    ("nesterov", "NesterovSolver", 1, (0.9,)),
    ("adagrad", "AdaGradSolver", 1, (1e-8,)),
    ("rmsprop", "RMSPropSolver", 1, (0.9, 1e-8)),
    ("adadelta", "AdaDeltaSolver", 2, (0.9, 1e-8)),
    ("adam", "AdamSolver", 2, (0.9, 0.999, 1e-8, 0.3)),
]


def plain(w: float, g: float, rate: float) -> tuple[float, ...]:
    """A rule without history."""
    return (0.5 * rate * g,)


CASES = [Case("apply", plain, normal(9), normal(9), [], (), 0.1, 1.0, 1.0, 0.0, False)]
for module, name, sets, numbers in RULES:
    rule = getattr(import_module(f"minicaffe.solver.rules.{module}"), name).rule
    for decay, l1 in ((0.0, False), (0.1, False), (0.1, True)):
        history = [positive(300) for _ in range(sets)]
        args = (rule, normal(300), normal(300), history, numbers, 0.01, 0.5, 0.25, decay, l1)
        CASES.append(Case("apply", *args))
