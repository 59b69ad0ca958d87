"""A training step allocates no arrays: tracemalloc sees NumPy's, and the process does not grow."""

import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.cli._warm_up_jobs import cifar10_quick, lenet
from minicaffe.data.database import create_database
from minicaffe.layer import known_types
from minicaffe.layer_example import example_net, needs_files
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

BATCH = 16
NETS = {"LeNet": lenet, "CIFAR-10 quick": cifar10_quick}


def peak_of(run: Callable[[], object]) -> int:
    """The most bytes that are alive at any time during a call, beyond those alive before it."""
    run()
    gc.collect()
    tracemalloc.start()
    try:
        run()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def solver_of(net: pb.NetParameter, type: str = "SGD") -> Solver:
    param = pb.SolverParameter(
        type=type, base_lr=0.001, lr_policy="inv", gamma=0.1, power=0.75, weight_decay=0.004,
        max_iter=10**6, random_seed=1,
    )  # fmt: skip
    if type in ("SGD", "Nesterov"):
        param.momentum = 0.9
    param.net_param.CopyFrom(net)
    return create_solver(param, device="cpu")


def largest_blob(net: Net) -> int:
    """Bytes."""
    return max(4 * blob.count() for blob in net.blob_dict.values())


@pytest.mark.parametrize("name", NETS)
def test_a_step_on_given_inputs(name: str) -> None:
    solver = solver_of(NETS[name](BATCH))
    for blob in solver.net.input_blobs:
        blob.data[...] = 1
    assert peak_of(lambda: solver.step(1)) < 16_000
    assert largest_blob(solver.net) > 700_000


@pytest.mark.parametrize("type", ["AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"])
def test_an_update_by_each_rule(type: str) -> None:
    solver = solver_of(lenet(1), type)
    assert solver.net.flat_params.count > 400_000
    assert peak_of(solver.apply_update) < 16_000


def data_layer(kind: str, source: Path) -> pb.LayerParameter:
    """A layer that reads MNIST's kind of pictures."""
    layer = pb.LayerParameter(name="data", type=kind, top=["data", "label"])
    layer.transform_param.scale = 1 / 256
    if kind == "Data":
        layer.data_param.source = str(source)
        layer.data_param.batch_size = BATCH
        layer.data_param.backend = pb.DataParameter.LMDB
    else:
        layer.source_class = "LMDB"
        layer.memory_data_param.source = str(source)
        layer.memory_data_param.batch_size = BATCH
    return layer


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LMDB of 40 pictures of 28 x 28."""
    path = tmp_path_factory.mktemp("data") / "pictures"
    datum = pb.Datum(channels=1, height=28, width=28, data=bytes(784), label=1)
    with create_database(path) as database:
        for index in range(40):
            database.put(f"{index:08d}".encode(), datum.SerializeToString())
    return path


@pytest.mark.parametrize("kind", ["Data", "MemoryData"])
def test_a_step_that_is_fed_from_a_database(kind: str, pictures: Path) -> None:
    net = lenet(BATCH)
    net.layer[0].CopyFrom(data_layer(kind, pictures))
    solver = solver_of(net)
    solver.step(6)  # all memory for batches that are read ahead is there
    assert peak_of(lambda: solver.step(1)) < 40_000  # and a batch is 50 176
    solver.close()


# --- layer by layer ------------------------------------------------------------------------------

READS_OR_DRAWS = {"DummyData", *filter(needs_files, known_types())}
TIMES = 2048
BATCH_AXIS = {"LSTM": 1, "RNN": 1, "LSTMUnit": 1}
NO_BATCH = "gain"  # of InfogainLoss


@pytest.mark.parametrize("layer_type", sorted(set(known_types()) - READS_OR_DRAWS - {"Filter"}))
def test_a_layer_on_a_large_batch(layer_type: str) -> None:
    """Its docstring's example with 2048 times the items: blobs have from 49 to 600 KB.

    Filter's list of items that it keeps is as long as the batch.
    """
    param = example_net(layer_type)
    for layer in param.layer:
        for shape in layer.input_param.shape:
            if layer.name != NO_BATCH and shape.dim:
                shape.dim[BATCH_AXIS.get(layer_type, 0)] *= TIMES
    net = Net(param, minicaffe.TRAIN, device="cpu")
    for blob in net.input_blobs:
        blob.data[...] = 1

    def forward_and_backward() -> None:
        net.forward_pass()
        for node in net.nodes:
            if node.layer.type == layer_type and type(node.layer).backward is not no_gradient:
                wanted = [node.layer.allow_force_backward(i) for i in range(len(node.bottoms))]
                node.layer.backward(node.tops, wanted, node.bottoms)

    assert peak_of(forward_and_backward) < 40_000
    assert largest_blob(net) > 40_000


no_gradient = minicaffe.Layer.backward


# --- the process ---------------------------------------------------------------------------------

TINY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory in /proc")
def test_a_training_does_not_grow(pictures: Path) -> None:
    """200 iterations, each of which moves more than a megabyte through blobs, add less than two."""
    net = pb.NetParameter()
    net.layer.add().CopyFrom(data_layer("Data", pictures))
    net.layer.extend(parse_text(TINY, pb.NetParameter()).layer)
    solver = solver_of(net)
    solver.step(50)
    gc.collect()
    before = resident()
    solver.step(200)
    assert resident() - before < 2_000_000
    assert np.isfinite(solver.smoothed_loss)
    solver.close()
