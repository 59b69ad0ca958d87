"""ONNX Runtime on the CPU: forward only, the whole net as one optimised graph.

The model is the one that `minicaffe export` writes. Inputs and outputs are bound to memory once, so
that a call copies and allocates nothing.
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from minicaffe.errors import NetError
from minicaffe.net.net import Net
from minicaffe.onnx_export import to_onnx
from minicaffe.proto import minicaffe_pb2 as pb

from ..cases import FORWARD, Arrays, Case, Unsupported
from . import Peer, Work
from .ours import fill


def describe(peer: Peer) -> str:
    """The version; all of its optimisations are on by default."""
    return f"onnxruntime {onnxruntime.__version__}"


def prepare(case: Case, arrays: Arrays, peer: Peer, threads: int) -> Work:
    """The net as an ONNX model in a session of so many threads."""
    if case.work != FORWARD:
        raise Unsupported("onnxruntime does inference only")
    net = Net(case.param(), device="reference")
    trained = {"BatchNorm", "Dropout"} & {layer.type for layer in net.layers}
    if trained and net.phase == pb.TRAIN:
        raise Unsupported(f"{', '.join(trained)} of training")
    fill(net, arrays)
    try:
        model = to_onnx(net).SerializeToString()
    except NetError as error:
        raise Unsupported(str(error)) from None
    return OnnxWork(model, net, arrays, threads)


class OnnxWork(Work):
    """A case as a session with everything bound."""

    def __init__(self, model: bytes, net: Net, arrays: Arrays, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(model, options, providers=providers)
        binding = session.io_binding()
        for name in net.input_names:
            binding.bind_cpu_input(name, arrays[f"input/{name}"])
        self.tops = {}
        for name, blob in zip(net.output_names, net.output_blobs, strict=True):
            empty = np.zeros(blob.shape, np.float32)
            self.tops[name] = onnxruntime.OrtValue.ortvalue_from_numpy(empty)
            binding.bind_ortvalue_output(name, self.tops[name])
        self.call = lambda: session.run_with_iobinding(binding)

    def results(self) -> Arrays:
        """The outputs."""
        self.call()
        return {name: np.array(value.numpy()) for name, value in self.tops.items()}
