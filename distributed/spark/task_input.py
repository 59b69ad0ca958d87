"""What travels from the driver to the executors: all that a task needs, nothing to ship by hand."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field

from minicaffe.errors import ClusterError
from minicaffe.proto import minicaffe_pb2 as pb

from ..driver_call import Call
from .files.desk import JobFile, JobFiles
from .portable import Places, give_files, nets_of, put_places
from .shipping.user_code import Code


@dataclass(frozen=True)
class Resume:
    """A solver's state to go on from: its file and its iteration."""

    file: JobFile
    iter: int


@dataclass(frozen=True)
class TrainJob:
    """One generation of a training: what every rank gets."""

    solver: bytes = field(repr=False)  # a SolverParameter with its nets in it
    places: Places = field(repr=False)  # of its layers in their prototxts
    files: dict[str, bytes] = field(repr=False)  # small files that the nets name
    code: Code = field(repr=False)  # modules of the user's that the nets name
    weights: tuple[JobFile, ...]  # to start from
    state: Resume | None  # to go on from, with `weights`
    seed: int  # of the order of the data
    world_size: int  # members of the ring
    devices: int  # of them in a task
    run: str
    generation: int
    secret: bytes = field(repr=False)
    scheme: str  # of the ring's transport
    mac: bool  # whether it signs its frames
    crc: bool  # and whether it checks them by their CRC-32
    ports: str  # on which the ring may listen, such as "7000-7099"; "" for any
    sync: str  # how the ranks stay together
    control: tuple[str, int]  # the driver's address
    model: str  # where the model goes; "" for none
    beacon: str  # a file that the driver has made where model and snapshots go; "" for none
    stops_at_nan: bool  # or trains on
    log_level: tuple[int, int]  # of rank 0 and of the others
    device: str  # whose kernels are used
    precision: str  # of their products
    data_threads: int  # that decode pictures, at least

    @property
    def call(self) -> Call:
        """How a rank reaches the driver."""
        return Call(self.control, self.run, self.generation, self.secret)

    def unpack(self, folder: str, files: JobFiles) -> tuple[pb.SolverParameter, *tuple[str, ...]]:
        """Write the small files into a folder and find the large ones.

        Gives the solver that names them where they are; where it goes on from a state, the paths of
        the state and of its weights come after it.
        """
        solver = pb.SolverParameter.FromString(self.solver)
        unpack_files(self.files, folder)
        for net in nets_of(solver):
            give_files(net, folder)
        put_places(nets_of(solver), self.places)
        weights = [files.path_of(file) for file in self.weights]
        solver.weights[:] = [] if self.state else weights
        return solver, *([files.path_of(self.state.file), *weights] if self.state else [])


@dataclass(frozen=True)
class ForwardJob:
    """A pass over a data set with the TEST net: for `test` and `features`."""

    net: bytes = field(repr=False)
    places: Places = field(repr=False)
    files: dict[str, bytes] = field(repr=False)
    code: Code = field(repr=False)
    weights: JobFile
    blobs: tuple[str, ...]  # whose values are wanted; empty: the net's outputs
    log_level: int
    device: str
    precision: str
    data_threads: int
    call: Call | None = None  # to the driver, who shows how far the tasks are

    def unpack(self, folder: str, files: JobFiles) -> tuple[pb.NetParameter, str]:
        """Write the small files into a folder; the net that names them, and the weights' path."""
        net = pb.NetParameter.FromString(self.net)
        unpack_files(self.files, folder)
        give_files(net, folder)
        put_places([net], self.places)
        return net, files.path_of(self.weights)


def unpack_files(files: dict[str, bytes], folder: str) -> None:
    """Write files into a folder by their keys. Raises ClusterError where there is no room."""
    for name, content in files.items():
        path = os.path.join(folder, name)
        try:
            with open(path, "wb") as file:
                file.write(content)
        except OSError as error:
            raise ClusterError(f"cannot write {path}: {error.strerror}") from error


def task_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a task's small files, in one that Spark clears away when a task is killed."""
    from pyspark import SparkFiles, TaskContext

    root = SparkFiles.getRootDirectory() if TaskContext.get() else None
    return tempfile.TemporaryDirectory(prefix="minicaffe-", dir=root)
