"""What `minicaffe warmup` runs: nets and solvers that together call all kernels of the CPU.

Machine code depends on the types of a kernel's arguments, not on the sizes of blobs, so the small
nets of the layers' docstrings do, together with two of examples/ that everybody trains and one with
layers that run as one (`fusion.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import minicaffe

from .. import context
from ..layer import Layer, known_types
from ..layer_example import example_net, needs_files
from ..machine.threads import num_threads, set_num_threads
from ..net.net import Net
from ..proto import minicaffe_pb2 as pb
from ..proto.files import read_net
from ..pycaffe.net_spec import NetSpec, Top
from ..pycaffe.net_spec import layers as L
from ..solver.create import create_solver, known_solvers

XAVIER = {"weight_filler": {"type": "xavier"}}


class Job(NamedTuple):
    """Something to run, which compiles kernels on the way."""

    name: str
    run: Callable[[], None]


def serial_jobs() -> Iterator[Job]:
    """Every layer, every solver, fused and wide layers, LeNet, CIFAR-10 quick, on one thread."""
    for layer_type in known_types():
        if not needs_files(layer_type):
            yield Job(layer_type, partial(_alone, partial(_run_example, example_net(layer_type))))
    for solver_type in known_solvers():
        yield Job(f"{solver_type}Solver", partial(_alone, partial(_train, solver_type, _tiny())))
    yield Job("fused layers", partial(_alone, _run_fused))
    yield Job("wide convolution", partial(_alone, partial(_train, "SGD", _wide())))
    yield Job("LeNet", partial(_alone, partial(_train, "SGD", lenet())))
    yield Job("CIFAR-10 quick", partial(_alone, partial(_train, "SGD", cifar10_quick())))


def parallel_jobs() -> Iterator[Job]:
    """What several threads need besides, for all kernels that the serial jobs have called."""
    for kernel in importlib.import_module("minicaffe.kernels.cpu._compile.jit").known:
        yield Job(kernel.__name__, kernel.compile_parallel)


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    folder: Path = importlib.import_module("minicaffe.kernels.cpu._compile.cache").folder()
    return folder


def _alone(run: Callable[[], None]) -> None:
    """Run on one thread, in a context that nobody else sees."""
    before = num_threads()
    set_num_threads(1)
    try:
        with context.fresh("cpu"):
            context.set_random_seed(1)
            run()
    finally:
        set_num_threads(before)


def _run_example(param: pb.NetParameter) -> None:
    """Forward and backward in phase TRAIN, forward in phase TEST; all inputs are zero."""
    net = Net(param, pb.TRAIN)
    net.forward_pass()
    for node in reversed(net.nodes):
        layer = node.layer
        if type(layer).backward is not Layer.backward:  # it has a gradient
            wanted = [layer.allow_force_backward(index) for index in range(len(node.bottoms))]
            layer.backward(node.tops, wanted, node.bottoms)
    Net(param, pb.TEST).forward_pass()


def _run_fused() -> None:
    """Forward and backward in phase TRAIN, forward in phase TEST."""
    param = _fused()
    Net(param, pb.TEST).forward_pass()
    param.force_backward = True
    net = Net(param, pb.TRAIN)
    net.forward_pass()
    net.backward_pass()


def _train(solver_type: str, net: pb.NetParameter) -> None:
    """One iteration, clipped and tested."""
    param = pb.SolverParameter(
        type=solver_type, base_lr=0.01, lr_policy="fixed", weight_decay=0.0005, clip_gradients=1,
        max_iter=1, test_iter=[1], test_interval=1,
    )  # fmt: skip
    param.net_param.CopyFrom(net)
    solver = create_solver(param)
    solver.step(1)
    solver.close()


# --- nets ----------------------------------------------------------------------------------------


def _inputs(n: NetSpec, *shape: int) -> tuple[Top, Top]:
    """Pictures of a shape, and their labels."""
    n.data, n.label = L.Input(shape=[{"dim": shape}, {"dim": shape[:1]}], ntop=2)
    return n.data, n.label


def _scores(n: NetSpec, top: Top, label: Top) -> pb.NetParameter:
    n.score = L.InnerProduct(top, num_output=10, **XAVIER)
    n.accuracy = L.Accuracy(n.score, label, include={"phase": pb.TEST})
    n.loss = L.SoftmaxWithLoss(n.score, label)
    return n.to_proto()


def _tiny() -> pb.NetParameter:
    n = NetSpec()
    return _scores(n, *_inputs(n, 2, 3))


def _fused() -> pb.NetParameter:
    """Layers that run as one: in place or not, normalising by the batch or by given numbers."""
    n = NetSpec()
    top, _ = _inputs(n, 2, 3, 4, 4)
    for number, given in enumerate(({}, {"in_place": True}, {"use_global_stats": True})):
        top = n[f"power{number}"] = L.Power(top)
        top = n[f"norm{number}"] = L.BatchNorm(top, **given)
        top = n[f"scale{number}"] = L.Scale(top, bias_term=True, in_place=True)
        top = n[f"relu{number}"] = L.ReLU(top, in_place=True)
    for name in ("read_twice", "read_once"):
        total = n[name] = L.Eltwise(top, n.power0)
        total = n[f"{name}_relu"] = L.ReLU(total, in_place=True)
        top = n[f"{name}_again"] = L.Eltwise(total, total) if name == "read_twice" else total
    return n.to_proto()


def _wide() -> pb.NetParameter:
    """A convolution with enough channels for Winograd's minimal filtering."""
    n = NetSpec()
    top, label = _inputs(n, 4, 64, 16, 16)
    n.conv = L.Convolution(top, num_output=64, kernel_size=3, pad=1, **XAVIER)
    return _scores(n, n.conv, label)


def lenet(batch: int = 64) -> pb.NetParameter:
    """LeNet for MNIST, of the examples, with inputs in place of its data layers."""
    return _example("mnist/lenet_train_test.prototxt", batch, 1, 28, 28)


def cifar10_quick(batch: int = 100) -> pb.NetParameter:
    """The quick net for CIFAR-10, of the examples, with inputs in place of its data layers."""
    return _example("cifar10/cifar10_quick_train_test.prototxt", batch, 3, 32, 32)


def _example(name: str, *shape: int) -> pb.NetParameter:
    """A net of examples/, which is installed with the package, for pictures of a shape."""
    places = [Path(folder, "examples", name) for folder in minicaffe.__path__]
    example = read_net(next(place for place in places if place.is_file()))
    n = NetSpec()
    _inputs(n, *shape)
    net = n.to_proto()
    net.layer.extend(layer for layer in example.layer if layer.type != "Data")
    return net
