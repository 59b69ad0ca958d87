"""Train or fine-tune a model: minicaffe train -solver solver.prototxt

A training goes on from a state with -snapshot STATE, or starts from weights with -weights A,B.
"""

import argparse
import logging

from ._commands import Parser
from ._net_flags import (
    add_check_switch,
    add_device_flags,
    add_fusion_switch,
    add_memory_switch,
    add_stage_flags,
    choose_device,
    stages,
)
from ._signals import add_signal_flags, signals

log = logging.getLogger("minicaffe.cli")


def configure(parser: Parser) -> None:
    """Caffe's flags."""
    parser.flag("solver", "the solver's prototxt", metavar="FILE")
    parser.flag("snapshot", "the .solverstate to go on from", metavar="FILE")
    parser.flag("weights", "the .caffemodels to start from, separated by ','", metavar="FILES")
    add_device_flags(parser)
    add_stage_flags(parser)
    add_check_switch(parser)
    add_memory_switch(parser)
    add_fusion_switch(parser)
    add_signal_flags(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Solve."""
    if not args.solver:
        args.error("a solver is needed to train: -solver FILE")
    if args.snapshot and args.weights:
        args.error("give -snapshot to resume or -weights to fine-tune, not both")
    from ..proto import minicaffe_pb2 as pb
    from ..proto.files import read_solver
    from ..solver.create import create_solver

    param = read_solver(args.solver)
    param.train_state.level = args.level
    param.train_state.stage.extend(stages(args))
    if args.snapshot:
        del param.weights[:]
    elif args.weights:
        param.weights[:] = [args.weights]
    on_card = param.HasField("solver_mode") and param.solver_mode == pb.SolverParameter.GPU
    choose_device(args, param.device_id if on_card else None)
    solver = create_solver(param, share_memory=args.share_memory, fuse=args.fuse)
    if args.snapshot:
        log.info("Resuming from %s", args.snapshot)
    log.info("Starting Optimization")
    with signals(solver, args.sigint_effect, args.sighup_effect):
        solver.solve(args.snapshot or None)
    log.info("Optimization Done.")
