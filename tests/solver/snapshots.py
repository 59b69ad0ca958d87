"""A solver for the tests of snapshots: small, with two layers and a random one between them."""

import numpy as np
from google.protobuf import text_format

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.create import create_solver

NET = """
    name: "net"
    layer { name: "data" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
            inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
    layer { name: "drop" type: "Dropout" bottom: "a" top: "a" }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "y" top: "loss" }
"""
FORMATS = ["BINARYPROTO", "HDF5"]
SUFFIX = {"BINARYPROTO": "", "HDF5": ".h5"}


def make(folder, options="", net=NET):
    """A solver whose every iteration has its own batch, found by the iteration's number."""
    param = text_format.Parse(
        f"base_lr: 0.1 lr_policy: 'multistep' stepvalue: [2, 4] gamma: 0.5 max_iter: 6 "
        f"random_seed: 1 snapshot_prefix: '{folder}/s'",
        pb.SolverParameter(),
    )
    text_format.Merge(options, param)
    text_format.Parse(net, param.net_param)
    solver = create_solver(param)

    def feed(layer):
        if layer == 0:
            random = np.random.default_rng(solver.iter)
            for blob in solver.net.input_blobs:
                blob.data[...] = random.standard_normal(blob.shape)

    solver.net.callbacks.before_forward.append(feed)
    return solver


def weights(solver):
    return np.asarray(solver.net.flat_params.data).copy()


def files(folder):
    return sorted(file.name for file in folder.iterdir())
