"""Solvers with pycaffe's attributes: `get_solver("solver.prototxt")`, `SGDSolver(...)`."""

from __future__ import annotations

from typing import Any

from ..errors import SolverError
from ..proto import minicaffe_pb2 as pb
from ..proto.files import Name, read_solver
from ..solver.create import create_solver
from ..solver.solver import Solver
from .net import Net


def get_solver(solver: Name | pb.SolverParameter) -> Solver:
    """The solver that a prototxt describes, with its nets; of the type that it names."""
    param = solver if isinstance(solver, pb.SolverParameter) else read_solver(solver)
    return _create(param)


def _create(param: pb.SolverParameter) -> Solver:
    return create_solver(param, net_class=Net, share_memory=False)  # scripts look at test nets


class _Typed:
    """A constructor for one solver type: the prototxt must name the same type."""

    def __init__(self, solver_type: str) -> None:
        self.solver_type = solver_type

    def __call__(self, solver: Name | pb.SolverParameter) -> Solver:
        param = pb.SolverParameter()
        given: Any = solver if isinstance(solver, pb.SolverParameter) else read_solver(solver)
        param.CopyFrom(given)
        if param.HasField("type") and param.type != self.solver_type:
            raise SolverError(f"{self.solver_type}Solver was given a solver of type {param.type}")
        param.type = self.solver_type
        return _create(param)

    def __instancecheck__(self, solver: object) -> bool:
        return isinstance(solver, Solver) and solver.type == self.solver_type


SGDSolver = _Typed("SGD")
NesterovSolver = _Typed("Nesterov")
AdaGradSolver = _Typed("AdaGrad")
RMSPropSolver = _Typed("RMSProp")
AdaDeltaSolver = _Typed("AdaDelta")
AdamSolver = _Typed("Adam")
