"""`minicaffe cuda step` and `minicaffe cuda profile` on kernels of the house, files and nets."""

import io
import json
from pathlib import Path

import pytest

from minicaffe.cli import main
from minicaffe.kernels.cuda._compile.ptx import versions

NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 8 dim: 20 } } }
layer {
  name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } }
}
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
"""


@pytest.fixture(autouse=True)
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICAFFE_CUDA", "emulate")


@pytest.fixture
def compiler() -> None:
    if versions() is None:
        pytest.skip("there is no compiler for CUDA kernels: pip install 'minicaffe[cuda-emu]'")


RELU = ("relu.forward", "x=100x3", "y=100x3", "slope=0.1")


@pytest.mark.usefixtures("compiler")
def test_a_kernel(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    assert main(["cuda", "profile", *RELU, "-json", str(numbers)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split()[:2] == ["kernel", "limit"]
    row = shown.splitlines()[2].split()
    assert row[:4] == ["_forward", "memory", "1", "512"]
    assert "kernels/cuda/relu.py:" in shown and "A100, 19.5 TFLOP/s" in shown
    (report,) = json.loads(numbers.read_text())
    assert report["threads"] == 512 and report["sectors_per_request"] <= 4
    assert report["bytes_asked"] == 2 * 4 * 300


@pytest.mark.usefixtures("compiler")
def test_a_net_and_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    net, picture = tmp_path / "net.prototxt", tmp_path / "net.png"
    net.write_text(NET)
    assert main(["cuda", "profile", str(net), "-card", "h100", "-o", str(picture)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:-1]]
    assert "gemm" in names and "_forward" in names
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("compiler")
def test_a_file_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from minicaffe.kernels.cuda._compile.jit import kernel\n"
        "from minicaffe.kernels.cuda._compile.words import F32, grid\n"
        "@kernel\n"
        "def twice(x: F32) -> None:\n"
        "    i = grid()\n"
        "    if i < x.size:\n"
        "        x[i] = 2 * x[i]\n"
        "def double(x: 'DeviceArray', times: int = 1) -> None:\n"
        "    for _ in range(times):\n"
        "        twice.over(x.size)(x)\n"
    )
    assert main(["cuda", "profile", f"{file}:double", "x=1000", "times=3"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:3] == ["twice", "memory", "3"]


@pytest.mark.usefixtures("compiler")
def test_arrays_in_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cuda", "profile", "split.backward", "dys=40x3,40x3", "dx=40x3"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:3] == ["split_backward", "memory", "1"]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(x) -> None\n    pass\n", "mine.py:1:17: SyntaxError: expected ':'"),
        ("import nothing\n", "mine.py:1 imports 'nothing', which is not installed"),
        ("a = 1\nb = a / 0\n", "mine.py:2: ZeroDivisionError: division by zero"),
        ("def f(x: int) -> None:\n    x.size\n", "mine.py:2: AttributeError: 'int' object has no"),
    ],
)
def test_faults_in_a_file_of_ones_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert main(["cuda", "profile", f"{tmp_path}/mine.py:f", "x=3"]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.usefixtures("compiler")
def test_steps_from_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("l\nl\nr\nq\n"))
    assert main(["cuda", "step", *RELU, "-thread", "7"]) == 0
    shown = capsys.readouterr().out
    assert "kernel _forward, grid (2, 1, 1), block (256, 1, 1)" in shown
    assert "if i < y.size" in shown and "    %r1 = 7" in shown


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["relu.forwrd", "x=3"], "no function 'forwrd' in relu; did you mean 'forward'?"),
        (["relu.forward", "x=3"], "relu.forward needs 'y'"),
        (["relu.forward", "x=3", "y=3", "slop=1"], "no argument 'slop'; did you mean 'slope'?"),
        (["relu.forward", "x=3", "y=3", "slope=a"], "slope=a: a number or a tuple is expected"),
        (["relu.forward", "x=3xa", "y=3"], "x=3xa: a shape is expected, as 64x10"),
        (["relu.forward", "x=3:int5", "y=3"], "a type is one of float32, int32"),
        (["relu.forward", "x"], "'x': NAME=VALUE is expected"),
        (["relu"], "'relu': FAMILY.FUNCTION is expected"),
        (["nowhere.py:f"], "no file nowhere.py"),
    ],
)
def test_slips(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["cuda", "profile", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("compiler")
def test_an_unknown_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cuda", "profile", *RELU, "-card", "Z80"]) == 2
    assert "-card Z80: one of T4, A100" in capsys.readouterr().err
