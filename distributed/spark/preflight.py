"""From a Config to what travels, with every check that can be made before a job starts."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
from dataclasses import dataclass

from minicaffe.data.database import look_at_far, open_database
from minicaffe.data.source import source_class
from minicaffe.device import check_precision, folder, known_families
from minicaffe.errors import ClusterError, DataError, SnapshotError
from minicaffe.layer import create_layer, layer_class, layer_type_list
from minicaffe.machine.file_system import check_far, is_far, local_path
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from minicaffe.solver.settings import check_settings
from minicaffe.solver.state_file import check_weights, load_state, weights_of_state

from ..choosing import AUTO
from ..sync import read_sync
from ..transport import known_schemes
from . import portable
from .config import Config
from .files.desk import JobFile, job_file
from .options import CONNECTIONS
from .shipping.user_code import Code, collect_code, tried_here
from .slots import is_local
from .stores import put_stores
from .task_input import ForwardJob, Resume

log = logging.getLogger("minicaffe.spark")

MODEL_SUFFIXES = (".h5", ".caffemodel", ".model")


@dataclass
class Plan:
    """A training that may begin: what the ranks get, and where the driver writes."""

    solver: pb.SolverParameter
    files: dict[str, bytes]
    code: Code
    weights: tuple[JobFile, ...]
    state: Resume | None
    scheme: str
    mac: bool
    crc: bool
    sync: str
    device: str
    precision: str
    devices: int
    model: str  # path of the final model; "" for none
    snapshot_folder: str  # "" without snapshots

    @property
    def start(self) -> int:
        """The first iteration."""
        return self.state.iter if self.state else 0

    @property
    def stem(self) -> str:
        """The model's path without its suffixes, where the metrics go; "" without model."""
        stem = self.model
        for suffix in MODEL_SUFFIXES:
            stem = stem.removesuffix(suffix)
        return stem


def plan_training(conf: Config, validate: bool) -> Plan:
    """Check everything about a training and gather what it needs.

    Without `validate` the solver's tests are left out. Raises an error of minicaffe, in one line.
    """
    scheme = _scheme(conf)
    sync = _sync(conf)
    _check_device(conf)
    _say_device(conf)
    solver = pb.SolverParameter()
    solver.CopyFrom(conf.solverParameter)
    if not validate:
        _drop_tests(solver)
    elif not solver.test_iter or solver.test_interval <= 0:
        raise ClusterError(f"{conf.protoFile}: validation needs test_iter and test_interval")
    if solver.max_iter <= 0:
        raise ClusterError(f"{conf.protoFile}: max_iter must be above 0, not {solver.max_iter}")
    check_settings(solver)
    files, code = prepare_nets(conf, solver)
    model = model_path(conf.modelPath) if conf.modelPath else ""
    snapshots = _place_snapshots(solver, model)
    weights, state = _starting_point(conf, solver)
    if solver.random_seed < 0:
        solver.random_seed = secrets.randbelow(1 << 31)
    used = [portable.train_net(solver), *([portable.test_net(solver)] if validate else [])]
    with tried_here(code):
        put_stores(conf, used, portable.nets_of(solver))
    ring = scheme, conf.ringMac, conf.ringCrc, sync, conf.device, conf.precision, conf.devices
    return Plan(solver, files, code, weights, state, *ring, model, snapshots)


def plan_forward(conf: Config, blobs: tuple[str, ...]) -> ForwardJob:
    """Check everything about a test or a feature job. Raises an error of minicaffe, in one line."""
    _check_device(conf)
    if not conf.modelPath:
        raise ClusterError("no model is given: -model FILE")
    solver = pb.SolverParameter()
    solver.CopyFrom(conf.solverParameter)
    files, code = prepare_nets(conf, solver, train=False)
    net = portable.test_net(solver)
    tops = list(dict.fromkeys(top for layer in net.layer for top in layer.top))
    unknown = [name for name in blobs if name not in tops]
    if unknown:
        raise ClusterError(f"the TEST net has no blob '{unknown[0]}' (it has: {', '.join(tops)})")
    level = logging.WARNING if is_local(conf.sc) else logging.INFO
    weights = _file("-model", conf.modelPath)
    with tried_here(code):
        put_stores(conf, [net], [net])
    return ForwardJob(
        net=net.SerializeToString(),
        places=portable.get_places([net]),
        files=files,
        code=code,
        weights=weights,
        blobs=blobs,
        log_level=level,
        device=conf.device,
        precision=conf.precision,
        data_threads=conf.transform_thread_per_device,
    )


def model_path(path: str) -> str:
    """The absolute path of a -model that is to be written. Raises ClusterError."""
    if is_far(path):
        check_far(path, ClusterError)
        return path
    try:
        absolute = os.path.abspath(local_path(path))
    except DataError as error:
        raise ClusterError(f"-model: {error}") from None
    if os.path.isdir(absolute):
        raise ClusterError(f"-model {path} is a folder; a file's name is expected")
    check_folder(os.path.dirname(absolute), "-model")
    return absolute


def check_folder(folder: str, option: str) -> None:
    """Raise ClusterError unless files can be made in a folder."""
    if is_far(folder):
        check_far(f"{folder}/minicaffe", ClusterError)
        return
    if not os.path.isdir(folder):
        raise ClusterError(f"{option}: there is no folder {folder} (mkdir -p {folder})")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ClusterError(f"{option}: cannot write into {folder}: {error.strerror}") from error


# --- the parts of a plan ---------------------------------------------------------------------


def _check_device(conf: Config) -> None:
    """Raise DeviceError for a device that nobody has, or that lacks the precision."""
    known_families(conf.device)
    check_precision(conf.precision, conf.device)


def _scheme(conf: Config) -> str:
    scheme = CONNECTIONS.get(conf.connection, conf.connection)
    if not scheme and conf.clusterSize == 1:
        return scheme
    if not scheme:
        raise ClusterError(f"-connection {conf.connection}: {conf.clusterSize} ranks need one")
    if scheme not in (AUTO, *known_schemes()):
        usable = [word for word, name in CONNECTIONS.items() if name in known_schemes()]
        usable += known_schemes()
        raise ClusterError(
            f"-connection {conf.connection}: there is no transport '{scheme}' yet"
            f" (there is: {', '.join(usable)})"
        )
    return scheme


def _sync(conf: Config) -> str:
    """The way of -sync, with -bucket and -compress as its parameters."""
    text = conf.sync
    given = {"bucket": (conf.bucket, "buckets"), "compress": (conf.compress, "compression")}
    for name, (value, what) in given.items():
        if not value:
            continue
        kind, _ = read_sync(text)
        if name not in kind.parameters:
            raise ClusterError(f"-{name} {value}: -sync {text} has no {what}, allreduce has")
        text += f"{',' if ':' in text else ':'}{name}={value}"
    read_sync(text)
    return text


def _say_device(conf: Config) -> None:
    """Caffe's solver_mode chooses no device here: say so where it asks for a card."""
    solver = conf.solverParameter
    asks = solver.HasField("solver_mode") and solver.solver_mode == pb.SolverParameter.GPU
    if asks and folder(conf.device) != "cuda":
        log.warning(
            "%s: solver_mode: GPU, and the ranks compute on '%s': -device cuda takes the executors'"
            " cards",
            conf.protoFile,
            conf.device,
        )


def _drop_tests(solver: pb.SolverParameter) -> None:
    for name in ("test_iter", "test_net", "test_net_param", "test_state", "test_interval"):
        solver.ClearField(name)


def prepare_nets(
    conf: Config, solver: pb.SolverParameter, train: bool = True
) -> tuple[dict[str, bytes], Code]:
    """Make the solver's nets fit to travel, and check their data.

    Gives the small files and the modules of the user's that they need.
    """
    files: dict[str, bytes] = {}
    code: Code = {}
    places = portable.get_places(portable.nets_of(solver))
    for net in portable.nets_of(solver):
        code |= collect_code(net)
        if conf.resize:
            portable.set_resize(net)
        portable.make_paths_absolute(net)
    used = [portable.train_net(solver)] if train else []
    if solver.test_iter or not train:
        used.append(portable.test_net(solver))
    with tried_here(code):
        for net in used:
            _check_types(net)
            _check_data(conf, net)
    for net in portable.nets_of(solver):
        portable.take_files(net, files, conf.sc)
    portable.put_places(portable.nets_of(solver), places)
    return files, code


def _check_types(net: pb.NetParameter) -> None:
    """Raise LayerError for a layer of a type that does not exist."""
    known = set(layer_type_list())
    for layer in net.layer:
        if layer.type not in known:
            create_layer(layer, "cpu", net.state.phase)


def _check_data(conf: Config, net: pb.NetParameter) -> None:
    """Check the sources that the driver can see; the executors may have others."""
    for layer in net.layer:
        fed_by = layer_class(layer.type).fed_by(layer)
        if fed_by is None:
            continue
        name, path = fed_by
        if not name:
            raise ClusterError(
                f"layer '{layer.name}' ({layer.type}): source_class must be given, such as LMDB"
            )
        name = source_class(name).__name__
        if not path:
            raise ClusterError(f"layer '{layer.name}' ({layer.type}): source must be given")
        if name in ("LMDB", "LevelDB", "SeqImageDataSource") and is_far(path):
            look_at_far(path)
            continue
        with contextlib.suppress(DataError):
            path = local_path(path)
        if name in ("LMDB", "LevelDB") and (os.path.exists(path) or is_local(conf.sc)):
            with open_database(path, name):
                pass


def _starting_point(
    conf: Config, solver: pb.SolverParameter
) -> tuple[tuple[JobFile, ...], Resume | None]:
    """The weights to start from, and the state to go on from, whose seed the solver takes."""
    if path := _snapshot(conf, solver):
        state = load_state(path)
        if state.iter >= solver.max_iter:
            raise ClusterError(
                f"-snapshot {path} is of iteration {state.iter}, and max_iter is"
                f" {solver.max_iter}: there is nothing left to train"
            )
        model = conf.snapshotModelFile or weights_of_state(state, path)
        if not model:
            raise ClusterError(f"-snapshot {path} names no weights: give them with -weights")
        check_weights(state, path, model)
        if solver.random_seed < 0:
            solver.random_seed = state.run.solver.random_seed
        return (_file("-weights", model),), Resume(_file("-snapshot", path), state.iter)
    given = [conf.snapshotModelFile] if conf.snapshotModelFile else list(solver.weights)
    names = [name.strip() for entry in given for name in entry.split(",") if name.strip()]
    return tuple(_file("-weights", name) for name in names), None


def _snapshot(conf: Config, solver: pb.SolverParameter) -> str:
    """The state to go on from: that of -snapshot, or with -resume the newest; "" for none."""
    if not conf.resume:
        return conf.snapshotStateFile
    if conf.snapshotStateFile:
        raise ClusterError("-resume finds the newest snapshot itself: leave out -snapshot, or it")
    if not solver.snapshot and not solver.snapshot_after_train:
        raise ClusterError(f"-resume: {conf.protoFile} writes no snapshots (snapshot: N)")
    found = newest_complete_snapshot(solver.snapshot_prefix)
    if found:
        log.warning("-resume: goes on from %s", found)
        return found
    log.warning("-resume: no whole snapshot at %s: begins anew", solver.snapshot_prefix)
    return ""


def _file(option: str, url: str) -> JobFile:
    """A file of weights or a state, to be read by the tasks. Raises SnapshotError."""
    try:
        return job_file(url)
    except DataError as error:
        raise SnapshotError(f"{option}: {error}") from None


def _place_snapshots(solver: pb.SolverParameter, model: str) -> str:
    """Send the snapshots where the model goes; their folder, or "" if there are none.

    Without any there is a place for the one of a training that diverges.
    """
    prefix = solver.snapshot_prefix
    if model:
        prefix = os.path.join(os.path.dirname(model), os.path.basename(prefix))
    solver.snapshot_prefix = prefix if is_far(prefix) else os.path.abspath(local_path(prefix))
    if solver.snapshot <= 0 and not (
        solver.HasField("snapshot_after_train") and solver.snapshot_after_train
    ):
        solver.snapshot_after_train = False
        return ""
    folder = os.path.dirname(solver.snapshot_prefix)
    check_folder(folder, "snapshot_prefix")
    return folder
