"""Write a trained net as an ONNX model: minicaffe export --onnx OUT -model NET -weights WEIGHTS

The model (opset 13, IR version 7) has the shapes of the prototxt's inputs, the batch too: write the
batch that you want there. If onnxruntime is installed, it is run beside the net on random input
before anything is written.
"""

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import Error, MissingExtra
from ._commands import Parser
from ._net_flags import add_model_flag, add_phase_flag, add_stage_flags, build_net

if TYPE_CHECKING:
    from ..net.net import Net

TOLERANCE = 1e-4  # of the largest magnitude in an output


def configure(parser: Parser) -> None:
    """What to write, and the flags that select a net."""
    parser.flag("onnx", "the file to write", metavar="OUT")
    add_model_flag(parser)
    parser.flag("weights", "trained weights: .caffemodel or .caffemodel.h5", metavar="FILE")
    add_phase_flag(parser, "TEST")
    add_stage_flags(parser)
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> None:
    """Build the net, turn it into a model, compare the two, and write the model in one piece."""
    for flag, what in (("onnx", "a file to write"), ("model", "a net"), ("weights", "its weights")):
        if not getattr(args, flag):
            args.error(f"{what} must be named: -{flag} FILE")
    import logging

    from ..onnx_export import IR_VERSION, OPSET, to_onnx
    from ..proto.files import write_binary

    logging.getLogger("minicaffe").setLevel(logging.WARNING)
    net = build_net(args, weights=args.weights)
    model = to_onnx(net)
    _check(net, model)
    write_binary(args.onnx, model)
    print(
        f"{args.onnx}: {len(model.graph.node)} nodes, {net.flat_params.count:,} parameters,"
        f" opset {OPSET}, IR version {IR_VERSION}"
    )
    for what, names in (("input", net.inputs), ("output", net.outputs)):
        for name in names:
            shape = " x ".join(map(str, net.blob_dict[name].shape)) or "scalar"
            print(f"  {what} {name}: float32, {shape}")


def _check(net: "Net", model: Any) -> None:
    from ..onnx_export import compare

    try:
        differences = compare(net, model)
    except MissingExtra:
        print("not compared with the net: onnxruntime is not installed (pip install onnxruntime)")
        return
    worst = max(differences, key=lambda difference: difference.relative)
    text = f"{worst.largest:.3g} ({worst.relative:.3g} of the largest value) in '{worst.output}'"
    if worst.relative > TOLERANCE:
        raise Error(f"the model differs from the net by {text}: nothing was written")
    print(f"largest difference between onnxruntime and minicaffe: {text}")
