"""A solver of one small layer for the tests, fed with random batches, and what it was told."""

import numpy as np
from google.protobuf import text_format

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.solver.create import create_solver

NET = """
    name: "line"
    layer { name: "data" type: "Input" top: "x" top: "y"
            input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
            inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


def parse(text):
    return text_format.Parse(text, pb.SolverParameter())


def make(options="", net=NET, feed=True, device=None):
    """A solver of a net within its parameters; every batch is another, the same in every run."""
    param = parse("base_lr: 0.125 lr_policy: 'fixed' random_seed: 1")
    text_format.Merge(options, param)
    text_format.Parse(net, param.net_param)
    solver = create_solver(param, device=device)
    if feed:
        for trained in (solver.net, *solver.test_nets):
            feed_random(trained)
    return solver


def feed_random(net, seed=3):
    random = np.random.default_rng(seed)

    def fill(layer):
        if layer == 0:
            for blob in net.input_blobs:
                blob.data[...] = random.standard_normal(blob.shape)

    net.callbacks.before_forward.append(fill)


def weights(solver):
    return np.asarray(solver.net.flat_params.data).copy()


def gradient(solver):
    return np.asarray(solver.net.flat_params.diff).copy()


class Recorder:
    """A callback that writes down what it is told."""

    def __init__(self):
        self.calls = []
        self.iterations = []
        self.gradients = []

    def on_start(self, solver):
        self.calls.append("start")

    def after_backward(self, solver, layer_index):
        self.calls.append(layer_index)

    def on_gradients_ready(self, solver):
        self.calls.append("ready")
        self.gradients.append(gradient(solver))

    def on_iteration(self, solver, iteration):
        self.calls.append("done")
        self.iterations.append(iteration)

    def on_test(self, solver, index, results):
        self.calls.append((index, results))


def recorded(solver):
    solver.callbacks.append(Recorder())
    return solver.callbacks[-1]
