"""The names by which scripts written for pycaffe reach modules, classes and messages."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import minicaffe as caffe
from minicaffe.proto import caffe_pb2
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe import params as P

pytestmark = pytest.mark.usefixtures("on_reference")


def test_messages_are_one_class_under_all_names() -> None:
    assert caffe_pb2.NetParameter is pb.NetParameter
    assert caffe.proto.caffe_pb2.NetParameter is pb.NetParameter
    assert caffe.io.caffe_pb2.NetParameter is pb.NetParameter
    assert caffe_pb2.TRAIN == caffe.TRAIN
    assert caffe_pb2.PoolingParameter.AVE == P.Pooling.AVE


def test_names_of_modules_and_functions() -> None:
    for name in ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "params"):
        assert getattr(caffe, name).__name__ == f"minicaffe.pycaffe.{name}"
        assert importlib.import_module(f"minicaffe.{name}") is getattr(caffe, name)
    for name in ("AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "SGD"):
        assert getattr(importlib.import_module("minicaffe.pycaffe.solver"), f"{name}Solver")
    assert {"Convolution", "Python", "LSTM"} <= set(caffe.layer_type_list())
    assert issubclass(caffe.Classifier, caffe.Net)
    assert caffe.__version__


def test_a_stored_blob_without_a_shape_is_a_value_error() -> None:
    blob = caffe_pb2.BlobProto(data=[1.0])
    assert caffe.io.blobproto_to_array(blob) == 1
    blob.data.append(2)
    with pytest.raises(ValueError, match="2 numbers, not 1"):
        caffe.io.blobproto_to_array(blob)


def test_install_as_caffe_answers_to_the_name_without_second_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
        monkeypatch.delitem(sys.modules, name)
    caffe.install_as_caffe()
    assert importlib.import_module("caffe") is caffe
    for name in ("io", "proto.caffe_pb2", "net_spec", "layers", "pycaffe.net"):
        ours = importlib.import_module(f"minicaffe.{name}")
        assert importlib.import_module(f"caffe.{name}") is ours
        assert ours.__spec__.name == ours.__name__
    with pytest.raises(ModuleNotFoundError, match="caffe.nothing"):
        importlib.import_module("caffe.nothing")


def test_a_program_may_give_the_name_itself(checkout: Path) -> None:
    program = (
        "import sys, minicaffe\n"
        "sys.modules['caffe'] = minicaffe\n"
        "from caffe.proto import caffe_pb2\n"
        "import caffe.io, caffe.draw\n"
        "assert caffe_pb2 is minicaffe.proto.caffe_pb2\n"
        "assert caffe.io is minicaffe.io and caffe.draw is minicaffe.draw\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
