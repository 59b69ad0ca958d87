"""Which nets a solver prototxt asks for: one to train, any number to test, each with its state."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import ParseError, SolverError, add_to
from ..net.net import Net
from ..proto import minicaffe_pb2 as pb
from ..proto.files import read_net
from ..proto.upgrade import upgrade_net

TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


@dataclass(frozen=True)
class WantedNet:
    """A net to build: its definition with the merged state, and where it comes from, in words."""

    param: pb.NetParameter
    origin: str


def training_net(solver: pb.SolverParameter) -> WantedNet:
    """The net to train. Raises SolverError unless exactly one of the four fields is set."""
    given = [name for name in TRAIN_FIELDS if solver.HasField(name)]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has none"
        raise SolverError(f"a solver needs exactly one of {', '.join(TRAIN_FIELDS)}; this {found}")
    return _wanted(solver, given[0], pb.TRAIN, [solver.train_state])


def testing_nets(solver: pb.SolverParameter) -> list[WantedNet]:
    """The nets to test, in the order of `test_iter`.

    First every test_net_param, then every test_net, then the common net (net or net_param) for
    each test_iter that is left. Raises SolverError when the counts do not fit.
    """
    common = [name for name in ("net_param", "net") if solver.HasField(name)]
    own = len(solver.test_net_param) + len(solver.test_net)
    count = len(solver.test_iter)
    if count < own or (count > own and not common):
        raise SolverError(
            f"test_iter must be given once for each test net: {own} of their own"
            f"{', any number of the common net' if common else ''}; it is given {count} times"
        )
    if len(solver.test_state) not in (0, count):
        raise SolverError(
            f"test_state must be given for none or for all {count} test nets,"
            f" not for {len(solver.test_state)}"
        )
    if count and solver.test_interval <= 0:
        raise SolverError(f"test nets need test_interval > 0, not {solver.test_interval}")
    if any(batches <= 0 for batches in solver.test_iter):
        raise SolverError(f"test_iter must be above 0, not {list(solver.test_iter)}")
    places: list[tuple[str, int | None]] = [
        ("test_net_param", i) for i in range(len(solver.test_net_param))
    ]
    places += [("test_net", i) for i in range(len(solver.test_net))]
    places += [(common[0], None) for _ in range(count - own)] if common else []
    wanted = []
    for index, (field, place) in enumerate(places):
        state = [solver.test_state[index]] if solver.test_state else []
        wanted.append(_wanted(solver, field, pb.TEST, state, place))
    return wanted


def _wanted(
    solver: pb.SolverParameter,
    field: str,
    phase: pb.Phase,
    states: list[pb.NetState],
    place: int | None = None,
) -> WantedNet:
    value = getattr(solver, field) if place is None else getattr(solver, field)[place]
    if isinstance(value, pb.NetParameter):
        param, origin = pb.NetParameter(), field
        param.CopyFrom(value)
        upgrade_net(param)
    else:
        param, origin = _read(value), f"{'net' if field == 'net' else field} file: {value}"
    state = pb.NetState(phase=phase)
    for part in (param.state, *states):  # later ones win, stages add up
        state.MergeFrom(part)
    param.state.CopyFrom(state)
    return WantedNet(param, origin)


def _read(path: str) -> pb.NetParameter:
    """A net's file; its error tells from where paths count."""
    try:
        return read_net(path)
    except ParseError as error:
        if not os.path.isabs(path) and not os.path.exists(path):
            add_to(error, " (paths in a solver count from the working directory)")
        raise


def weight_files(solver: pb.SolverParameter) -> list[str]:
    """The files that the nets take their first weights from; a field may name several."""
    names = (name.strip() for field in solver.weights for name in field.split(","))
    return [name for name in names if name]


def batch_size(net: Net) -> int:
    """The items of a net's batch: the first axis of the first top that has one."""
    for node in net.nodes:
        if node.tops and node.tops[0].shape:
            return node.tops[0].shape[0]
    return 0
