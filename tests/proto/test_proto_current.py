"""The generated module and its stub say what minicaffe.proto says."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from minicaffe.proto import minicaffe_pb2 as pb

SOURCE = "minicaffe/proto/minicaffe.proto"


@pytest.fixture(scope="module")
def generated(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schema's descriptors and stub, made anew by the installed compiler."""
    pytest.importorskip("grpc_tools", reason="needs the compiler of grpcio-tools")
    out = tmp_path_factory.mktemp("generated")
    compiler = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-I."]
    options = [f"--descriptor_set_out={out}/descriptors", f"--pyi_out={out}"]
    run = subprocess.run(
        [*compiler, *options, SOURCE], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return out


def test_module_is_current(generated: Path) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString((generated / "descriptors").read_bytes())
    messages = list(files.file[0].message_type)
    for message in [*messages, *(nested for outer in messages for nested in outer.nested_type)]:
        for field in message.field:
            field.ClearField("json_name")  # modules do not hold it
    pool = descriptor_pool.DescriptorPool()  # writes floats in its own way, as for the module
    pool.AddSerializedFile(files.file[0].SerializeToString())
    loaded, new = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(loaded)
    pool.FindFileByName(SOURCE).CopyToProto(new)
    assert loaded == new


def test_stub_is_current(generated: Path, checkout: Path) -> None:
    """Names and annotations; how the stub is laid out depends on the compiler's version."""

    def names(file: Path) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
                found |= {f"{node.name}.{ast.unparse(field.target)}" for field in fields}
        return found

    stub = SOURCE.replace(".proto", "_pb2.pyi")
    assert names(checkout / stub) == names(generated / stub)


def test_module_asks_for_no_runtime_version(checkout: Path) -> None:
    """Code of newer compilers refuses older protobufs; this one must run with all from 4.25 on."""
    module = (checkout / SOURCE.replace(".proto", "_pb2.py")).read_text()
    assert "ValidateProtobufRuntimeVersion" not in module


def caffe_schema() -> descriptor_pb2.FileDescriptorProto:
    """The schema as another program's caffe.proto would have it: another file, another package."""
    text = pb.DESCRIPTOR.serialized_pb.replace(b".minicaffe.", b".bvlccaffe.")  # equal lengths
    file = descriptor_pb2.FileDescriptorProto.FromString(text)
    file.name, file.package = "caffe.proto", "bvlccaffe"
    state = next(message for message in file.message_type if message.name == "SolverState")
    kept = [field for field in state.field if field.number < 10000]
    del state.field[:]
    state.field.extend(kept)
    return file


def message_class(name: str) -> type[Any]:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(caffe_schema().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bvlccaffe.{name}"))


def test_lives_beside_another_caffe_schema() -> None:
    """Both are in the pool of the process, and each reads what the other writes."""
    theirs = message_class("NetParameter")()
    theirs.layer.add(name="conv1", type="Convolution").convolution_param.kernel_size.append(3)
    ours = pb.NetParameter.FromString(theirs.SerializeToString())
    assert ours.layer[0].convolution_param.kernel_size == [3]
    assert ours.DESCRIPTOR.full_name == "minicaffe.NetParameter"
    assert type(theirs).FromString(ours.SerializeToString()) == theirs


def test_caffe_skips_what_is_ours() -> None:
    """A Caffe that does not know random_state reads the rest of a solver state."""
    ours = pb.SolverState(iter=7, learned_net="n", random_state=[b"abc", b"de"])
    theirs = message_class("SolverState").FromString(ours.SerializeToString())
    assert (theirs.iter, theirs.learned_net) == (7, "n")
