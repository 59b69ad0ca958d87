"""What travels from the driver to the executors: all that a task needs, nothing to ship by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.state_file import save_state

from .forward_report import Call
from .portable import Places, give_files, nets_of, put_places
from .shipping.user_code import Code


@dataclass(frozen=True)
class Weights:
    """A .caffemodel[.h5] on its way: its name and its bytes."""

    name: str
    content: bytes = field(repr=False)

    def write(self, folder: str) -> str:
        """Put the file into a folder; its path."""
        path = os.path.join(folder, self.name)
        with open(path, "wb") as file:
            file.write(self.content)
        return path


@dataclass(frozen=True)
class TrainJob:
    """One generation of a training: what every rank gets."""

    solver: bytes = field(repr=False)  # a SolverParameter with its nets in it
    places: Places = field(repr=False)  # of its layers in their prototxts
    files: dict[str, bytes] = field(repr=False)  # small files that the nets name
    code: Code = field(repr=False)  # modules of the user's that the nets name
    weights: tuple[Weights, ...]  # to start from
    state: bytes | None = field(repr=False)  # a SolverState to go on from, with `weights`
    seed: int  # of the order of the data
    world_size: int
    run: str
    generation: int
    secret: bytes = field(repr=False)
    scheme: str  # of the ring's transport
    sync: str  # how the ranks stay together
    control: tuple[str, int]  # the driver's address
    beacon: str  # a file that the driver has made where snapshots go; "" without snapshots
    log_level: tuple[int, int]  # of rank 0 and of the others
    device: str  # whose kernels are used

    def unpack(self, folder: str) -> tuple[pb.SolverParameter, str | None]:
        """Write the files into a folder; the solver that names them there, and the state's path."""
        solver = pb.SolverParameter.FromString(self.solver)
        unpack_files(self.files, folder)
        for net in nets_of(solver):
            give_files(net, folder)
        put_places(nets_of(solver), self.places)
        paths = [weights.write(folder) for weights in self.weights]
        del solver.weights[:]
        if self.state is None:
            solver.weights.extend(paths)
            return solver, None
        state = pb.SolverState.FromString(self.state)
        state.learned_net = paths[0]
        state_path = os.path.join(folder, "resume.solverstate")
        save_state(state, state_path)
        return solver, state_path


@dataclass(frozen=True)
class ForwardJob:
    """A pass over a data set with the TEST net: for `test` and `features`."""

    net: bytes = field(repr=False)
    places: Places = field(repr=False)
    files: dict[str, bytes] = field(repr=False)
    code: Code = field(repr=False)
    weights: Weights
    blobs: tuple[str, ...]  # whose values are wanted; empty: the net's outputs
    log_level: int
    device: str
    call: Call | None = None  # to the driver, who shows how far the tasks are

    def unpack(self, folder: str) -> tuple[pb.NetParameter, str]:
        """Write the files into a folder; the net that names them there, and the weights' path."""
        net = pb.NetParameter.FromString(self.net)
        unpack_files(self.files, folder)
        give_files(net, folder)
        put_places([net], self.places)
        return net, self.weights.write(folder)


def unpack_files(files: dict[str, bytes], folder: str) -> None:
    """Write files into a folder by their keys."""
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
