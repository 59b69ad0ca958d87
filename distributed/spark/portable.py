"""A solver that can travel: its nets inside it, its paths absolute, its small files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from minicaffe.errors import ClusterError, DataError, SolverError
from minicaffe.layer import layer_class
from minicaffe.machine.file_system import at_hand, exists, is_far, local_path, read_file
from minicaffe.net.graph import filter_net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net, read_solver
from minicaffe.proto.places import Place, follow, keep_places, places_of
from minicaffe.proto.reflection import given_fields
from minicaffe.solver.nets import testing_nets, training_net

from .shipping.shipped_files import shipped
from .shipping.user_code import own_source

Places = tuple[tuple[Place | None, ...], ...]  # for each net, where its layers stand


class LoadedSolver(NamedTuple):
    """A solver with its nets in it, and the files that were looked at: None was not there."""

    solver: pb.SolverParameter
    files: dict[str, bytes | None]

    def stale(self) -> bool:
        """Whether one of the files is another now."""
        return any(_content(path) != content for path, content in self.files.items())


def load_solver(path: str, sc: Any = None) -> LoadedSolver:
    """Read a solver prototxt, and the nets that it names into it.

    A solver's name is relative to the working directory; a net's too, as in Caffe, or else to the
    solver's folder. What is not there may be a file that spark-submit has shipped (--files).
    Raises ParseError with file, line and column, ClusterError for files that are not there.
    """
    files: dict[str, bytes | None] = {}

    def find(*candidates: str) -> str | None:
        for candidate in candidates:
            place = candidate if is_far(candidate) else os.path.abspath(candidate)
            content = files[place] = _content(place)
            if content is not None:
                return candidate
        return None

    plain = _path(path)
    found = find(plain, *shipped(sc, path))
    if found is None:
        raise ClusterError(f"-conf: there is no solver prototxt {plain}")
    solver = _read_solver(found)

    def net(name: str) -> pb.NetParameter:
        beside = name if is_far(name) else os.path.join(os.path.dirname(found), name)
        place = find(_path(name), beside, *shipped(sc, name))
        if place is None:
            raise ClusterError(f"{found}: its net is missing: no {name}, no {beside}")
        return _read_net(place)

    if solver.HasField("net"):
        solver.net_param.CopyFrom(net(solver.net))
        solver.ClearField("net")
    if solver.HasField("train_net"):
        solver.train_net_param.CopyFrom(net(solver.train_net))
        solver.ClearField("train_net")
    solver.test_net_param.extend(net(name) for name in solver.test_net)
    del solver.test_net[:]
    return LoadedSolver(solver, files)


def _content(path: str) -> bytes | None:
    """What a file holds; None where there is none. Raises DataError for a far one out of reach."""
    if is_far(path):
        return read_file(path) if exists(path) else None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _path(url: str) -> str:
    return url if is_far(url) else local_path(url)


def _read_solver(url: str) -> pb.SolverParameter:
    """A solver; where its snapshot_prefix follows from its place, from that at the URL."""
    with at_hand(url, ClusterError) as here:
        solver = read_solver(here)
    if is_far(url) and solver.snapshot_prefix.startswith(os.path.dirname(here)):
        name = os.path.basename(solver.snapshot_prefix)
        solver.snapshot_prefix = os.path.join(os.path.dirname(url), name)
    return solver


def _read_net(url: str) -> pb.NetParameter:
    with at_hand(url, ClusterError) as here:
        return read_net(here)


def train_net(solver: pb.SolverParameter) -> pb.NetParameter:
    """The net to train, with its state, layers of other phases left out."""
    return _filtered(training_net(solver).param)


def test_net(solver: pb.SolverParameter) -> pb.NetParameter:
    """The net to test and to take features from: the first test net, or the common net in TEST.

    Unlike in training, neither test_iter nor test_interval need be there.
    """
    relaxed = pb.SolverParameter()
    relaxed.CopyFrom(solver)
    own = len(relaxed.test_net_param)
    del relaxed.test_state[1:]
    relaxed.test_iter[:] = [1] * max(own, 1)
    relaxed.test_interval = 1
    del relaxed.test_net_param[1:]
    del relaxed.test_iter[1:]
    try:
        return _filtered(testing_nets(relaxed)[0].param)
    except SolverError as error:
        raise ClusterError(f"the solver has no net to test: {error}") from error


def _filtered(net: pb.NetParameter) -> pb.NetParameter:
    """The layers of a net's own state; where they stand in the prototxt stays known."""
    part = filter_net(net)
    put_places([part], (tuple(follow(net.layer, places_of(net), part.layer)),))
    return part


def data_layer(net: pb.NetParameter, phase: int) -> int:
    """The index of the net's first layer that brings samples in.

    Raises ClusterError where there is none.
    """
    for index, layer in enumerate(net.layer):
        if not layer.bottom and layer.top and not layer_class(layer.type).needs_no_input:
            return index
    have = ", ".join(f"{layer.name} ({layer.type})" for layer in net.layer[:4])
    raise ClusterError(
        f"the net has no data layer in phase {pb.Phase.Name(phase)}; it begins with {have}"
    )


def nets_of(solver: pb.SolverParameter) -> Iterator[pb.NetParameter]:
    """All nets inside a solver."""
    for field in ("net_param", "train_net_param"):
        if solver.HasField(field):
            yield getattr(solver, field)
    yield from solver.test_net_param


def get_places(nets: Iterable[pb.NetParameter]) -> Places:
    """Where the layers of some nets stand in their prototxts."""
    return tuple(tuple(places_of(net)) for net in nets)


def put_places(nets: Iterable[pb.NetParameter], places: Places) -> None:
    """Make it known again, of nets that were changed or have travelled."""
    for net, given in zip(nets, places, strict=True):
        keep_places(net, zip((layer.name for layer in net.layer), given, strict=True))


def set_resize(net: pb.NetParameter) -> None:
    """Make the layers that read a source of CaffeOnSpark's scale their pictures."""
    for layer in net.layer:
        if layer.type == "MemoryData" and layer.source_class:
            layer.memory_data_param.resize = True
        elif layer.type == "CoSData":
            layer.cos_data_param.resize = True


def make_paths_absolute(net: pb.NetParameter, base: str | None = None) -> None:
    """Turn the relative local paths of data into absolute ones, so that they hold anywhere.

    A data source of the user's may mean something else by `source`: what is no path stays.
    """
    for layer in net.layer:
        may_be_none = own_source(layer)
        for message, field in given_fields(layer, layer_class(layer.type).reads):
            try:
                plain = local_path(getattr(message, field))
            except DataError:
                continue  # another file system's: its source knows what to do
            if may_be_none and not os.path.exists(_absolute(plain, base)):
                continue
            setattr(message, field, _absolute(plain, base))


def take_files(net: pb.NetParameter, files: dict[str, bytes], sc: Any = None) -> None:
    """Replace the paths of small files (means, infogain matrices) by keys of `files`, filled here.

    Those that spark-submit has shipped (--files) are found by their names. Raises DataError for a
    file that cannot be read.
    """
    for layer in net.layer:
        for message, field in given_fields(layer, layer_class(layer.type).small_files):
            path = _path(getattr(message, field))
            if not is_far(path) and not os.path.exists(path):
                path = next(iter(shipped(sc, path)), path)
            try:
                content = read_file(path)
            except DataError as error:
                raise DataError(f"layer '{layer.name}': {field}: {error}") from error
            key = next((k for k, v in files.items() if v == content), f"{len(files)}-{field}")
            files[key] = content
            setattr(message, field, key)


def give_files(net: pb.NetParameter, folder: str) -> None:
    """Turn the keys that `take_files` left into paths in `folder`, where the files now are."""
    for layer in net.layer:
        for message, field in given_fields(layer, layer_class(layer.type).small_files):
            setattr(message, field, os.path.join(folder, getattr(message, field)))


def _absolute(path: str, base: str | None) -> str:
    trailing = "/" if path.endswith("/") else ""
    return os.path.normpath(os.path.join(base or os.getcwd(), path)) + trailing
