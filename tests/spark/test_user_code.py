"""The user's code on its way: what is collected, and what it hides where it arrives."""

import contextlib
import importlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minicaffe.distributed.spark.portable import make_paths_absolute
from minicaffe.distributed.spark.shipping import package_code
from minicaffe.distributed.spark.shipping.user_code import collect_code, importable
from minicaffe.errors import LayerError
from minicaffe.layer import create_layer
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net

NET = 'layer { name: "%s" type: "Python" top: "x" python_param { module: "%s" layer: "Mine" } }'

LAYER = "import minicaffe as caffe\n%s\nclass Mine(caffe.Layer): pass\n"


@pytest.fixture(autouse=True)
def same_modules() -> Iterator[None]:
    """What a test imports is forgotten, and sys.path is as it was."""
    path = list(sys.path)
    yield
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]
    sys.path[:] = path


def net_naming(folder: Path, module: str) -> pb.NetParameter:
    (folder / "net.prototxt").write_text(NET % ("mine", module))
    return read_net(folder / "net.prototxt")


def write(folder: Path, **files: str) -> None:
    """Write modules: a__b is a/b.py, a__init is a/__init__.py."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/').replace('/init', '/__init__')}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def test_a_module_beside_the_prototxt_comes_with_what_it_imports(tmp_path: Path) -> None:
    """Helpers of helpers and whole packages too; Python's and installed modules do not."""
    imports = "import json, numpy\nfrom own_helper import two\nimport own_package.part as part"
    write(
        tmp_path,
        own_layer=LAYER % imports,
        own_helper="from own_constants import two",
        own_constants="two = 2",
        own_package__init="",
        own_package__part="",
        own_stranger="",
    )
    code = collect_code(net_naming(tmp_path, "own_layer"))
    assert sorted(code) == [
        "own_constants.py",
        "own_helper.py",
        "own_layer.py",
        "own_package/__init__.py",
        "own_package/part.py",
    ]
    assert code["own_constants.py"] == b"two = 2"


def test_what_is_on_the_path_comes_before_what_lies_beside(tmp_path: Path) -> None:
    """As an import has it; and what is installed is expected where the layer runs."""
    write(tmp_path / "on_path", own_layer="first = 1")
    write(tmp_path, own_layer="first = 0", numpy="", json="")
    sys.path.insert(0, str(tmp_path / "on_path"))
    assert collect_code(net_naming(tmp_path, "own_layer")) == {"own_layer.py": b"first = 1"}
    assert collect_code(net_naming(tmp_path, "numpy")) == {}
    assert collect_code(net_naming(tmp_path, "json")) == {}


@pytest.mark.parametrize("beside", ["own_layer-1.0.dist-info/RECORD", "own_layer/_fast.so"])
def test_installed_and_compiled_packages_stay(tmp_path: Path, beside: str) -> None:
    """Wherever they lie: the executors' Python has them, or cannot take them from a file."""
    write(tmp_path, own_layer__init="")
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).touch()
    assert collect_code(net_naming(tmp_path, "own_layer")) == {}
    shutil.move(tmp_path / beside, tmp_path / "elsewhere")
    with contextlib.suppress(OSError):
        (tmp_path / beside).parent.rmdir()
    assert collect_code(net_naming(tmp_path, "own_layer")) == {"own_layer/__init__.py": b""}


@pytest.mark.parametrize(
    "name", ["minicaffe.layers.relu", "caffe", "__main__", "own_nowhere", ".", "x..y"]
)
def test_what_is_nobodys_file_is_left_to_the_layer(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "caffe", sys.modules["minicaffe"])  # as install_as_caffe does
    assert collect_code(net_naming(tmp_path, name)) == {}


def test_a_folder_is_not_taken_for_a_package(tmp_path: Path) -> None:
    """Such as one of data, or a checkout of Caffe, that lies beside the prototxt."""
    write(tmp_path, own_layer=LAYER % "import own_data", own_data__load="", caffe__draw="")
    assert list(collect_code(net_naming(tmp_path, "own_layer"))) == ["own_layer.py"]
    sys.path.insert(0, str(tmp_path))  # an import finds it now, but `caffe` is minicaffe
    assert list(collect_code(net_naming(tmp_path, "own_layer"))) == [
        "own_layer.py",
        "own_data/load.py",
    ]


def test_a_file_that_cannot_be_read_travels_for_its_error(tmp_path: Path) -> None:
    write(tmp_path, own_layer="class Mine(:\n")
    there = {"own_layer.py": b"class Mine(:\n"}
    assert collect_code(net_naming(tmp_path, "own_layer")) == there
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    param = net_naming(elsewhere, "own_layer").layer[0]
    with (
        pytest.raises(LayerError, match=r"^layer 'mine' \(Python\): own_layer.py:1:12: Syntax"),
        importable(there, str(elsewhere)),
    ):
        create_layer(param, "cpu", pb.TRAIN)


def test_where_it_arrives_it_comes_first_for_the_length_of_the_job(tmp_path: Path) -> None:
    """It hides modules of its own names, and no others; the next job's is not mistaken for it."""
    write(tmp_path / "installed", own_layer="which = 'installed'", own_other="which = 'installed'")
    sys.path.insert(0, str(tmp_path / "installed"))
    before = importlib.import_module("own_layer")
    for version in (b"which = 1", b"which = 2"):
        with importable({"own_layer.py": version}, str(tmp_path / version.decode())):
            assert importlib.import_module("own_layer").which == int(version[-1:])
            assert importlib.import_module("own_other").which == "installed"
    assert importlib.import_module("own_layer") is before


def test_an_error_names_the_file_as_the_user_knows_it(tmp_path: Path) -> None:
    error = ZeroDivisionError("division by zero")
    error.add_note(f"layer 'x' (Python): Mine.forward, {tmp_path}/code/own_layer.py:7")
    with pytest.raises(ZeroDivisionError) as caught, importable({}, str(tmp_path)):
        raise error
    assert caught.value.__notes__ == ["layer 'x' (Python): Mine.forward, own_layer.py:7"]


def test_the_source_of_a_users_class_need_not_be_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes an absolute one where there is something of that name."""
    monkeypatch.chdir(tmp_path)
    net = pb.NetParameter()
    for kind, source in (("own.Squares", "50"), ("own.Squares", "there"), ("LMDB", "nowhere")):
        layer = net.layer.add(type="MemoryData", source_class=kind)
        layer.memory_data_param.source = source
    (tmp_path / "there").mkdir()
    make_paths_absolute(net)
    found = [layer.memory_data_param.source for layer in net.layer]
    assert found == ["50", str(tmp_path / "there"), str(tmp_path / "nowhere")]


def test_code_is_shipped_once_by_however_many_threads() -> None:
    """Spark refuses a file while another thread adds its equal."""

    class Context:
        master = "yarn"
        environment: dict[str, str]
        adding = 0
        added: list[str]

        def getConf(self) -> dict[str, str]:
            return {}

        def addPyFile(self, path: str) -> None:
            self.adding += 1
            time.sleep(0.01)
            assert self.adding == 1
            self.adding -= 1
            self.added.append(path)

    sc: Any = Context()
    sc.environment, sc.added = {}, []
    threads = [threading.Thread(target=package_code.ship_code, args=(sc,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sc.added) == 1
