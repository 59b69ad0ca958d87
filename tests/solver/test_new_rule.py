"""A solver of one's own: one file in the folder of rules, trained on every device."""

import subprocess
import sys

import numpy as np
import pytest

from minicaffe import device as devices
from minicaffe.errors import SolverError
from minicaffe.solver import rules
from minicaffe.solver.create import create_solver, known_solvers
from minicaffe.solver.solver import Solver
from tests.solver.small_solver import gradient, make, parse, recorded, weights

LION = '''
"""Lion (Chen and others, 2023)."""

import numpy as np

from minicaffe.solver.solver import Solver


class LionSolver(Solver):
    type = "Lion"

    def numbers(self):
        return self.param.momentum, self.param.momentum2

    @staticmethod
    def rule(w, g, rate, m, b1, b2):
        return rate * np.sign(b1 * m + (1 - b1) * g), b2 * m + (1 - b2) * g
'''


@pytest.fixture
def lion(tmp_path, monkeypatch):
    """A folder beside that of the rules, with a file of its own name."""
    (tmp_path / "a_new_one.py").write_text(LION)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    yield
    sys.modules.pop("minicaffe.solver.rules.a_new_one", None)


@pytest.mark.usefixtures("lion")
def test_a_new_solver_is_one_new_file(device):
    assert "Lion" in known_solvers()
    solver = make("type: 'Lion' momentum: 0.75 momentum2: 0.5", device=device)
    gradients = recorded(solver).gradients
    before, m = weights(solver), np.zeros(solver.net.flat_params.count, np.float32)
    for _ in range(3):
        solver.step(1)
        step = 0.125 * np.sign(0.75 * m + 0.25 * gradients[-1])
        m = 0.5 * m + 0.5 * gradients[-1]
        assert np.array_equal(gradient(solver), step)
        before -= step
        np.testing.assert_allclose(weights(solver), before, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(solver.history[0]), m, rtol=1e-6)


@pytest.mark.usefixtures("lion")
def test_the_file_of_another_name_is_found_last():
    with pytest.raises(SolverError, match="there are: .*Adam, Lion, Nesterov"):
        create_solver(parse("net_param { } type: 'Tiger'"))


def test_a_class_without_a_rule_is_refused():
    class Incomplete(Solver):
        type = "Incomplete"

    solver = Incomplete(make().param, device="reference")
    with pytest.raises(SolverError, match="must define its rule"):
        solver.step(1)


def test_only_the_file_of_the_type_is_imported():
    code = (
        "import sys; from minicaffe.solver.create import create_solver;"
        "from minicaffe.proto import minicaffe_pb2 as pb;"
        "create_solver(pb.SolverParameter(type='RMSProp', net_param=pb.NetParameter()));"
        "print([name for name in sys.modules if name.startswith('minicaffe.solver.rules.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['minicaffe.solver.rules.rmsprop']"


# --- what the kernels' cache sees ----------------------------------------------------------------


def test_code_that_is_kept_belongs_to_the_numbers_of_its_rule(tmp_path, monkeypatch):
    from minicaffe.kernels._source import code_stamp

    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in (("one", 0.1), ("three", 0.2)):
        (tmp_path / f"setting_{name}.py").write_text(f"C = {value}\n")
    stamps = []
    for number, (momentum, name) in enumerate(
        (("0.9", "one"), ("0.9", "one"), ("0.8", "one"), ("0.9", "three"))
    ):
        (tmp_path / f"rule_{number}.py").write_text(
            f"from setting_{name} import C\n\n"
            f"def rule(w, g, rate, h):\n    h = {momentum} * h + C * rate * g\n    return h, h\n"
        )
        stamps.append(code_stamp(__import__(f"rule_{number}").rule))
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 3


NOTEBOOK = """
import numpy as np
from minicaffe.device import load_kernel
def rule(w, g, rate):
    return (rate * NUMBER * g,)
w, g = np.zeros((2, 4), np.float32)
g += 1
load_kernel("update", "cpu").apply(rule, w, g, [], (), 1.0, 1.0, 1.0, 0.0, False)
print(*w)
"""


@pytest.mark.parametrize("number", ["0.5", "0.25"])
def test_a_rule_needs_no_file(number):
    code = NOTEBOOK.replace("NUMBER", number)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"-{number}"] * 4


# --- devices without the kernels -----------------------------------------------------------------


@pytest.fixture
def without_update(monkeypatch):
    """The device `reference`, as if it had no kernels `update` and `norm`."""
    whole = devices.known_families("reference") - {"update", "norm"}
    known = devices.known_families
    monkeypatch.setattr(
        "minicaffe.device.known_families",
        lambda device: whole if device == "reference" else known(device),
    )


@pytest.mark.usefixtures("without_update")
def test_a_device_without_the_kernels_is_named_once_and_the_cpu_updates(caplog):
    solver = make("clip_gradients: 0.5 momentum: 0.5", device="reference")
    assert (solver.net.device, solver.device) == ("reference", "cpu")
    solver.step(2)
    said = [each.getMessage() for each in caplog.records if "for want of kernels" in each.message]
    assert said == [
        "The solver updates on the CPU, for want of kernels for reference: update, norm"
    ]
    other = make("clip_gradients: 0.5 momentum: 0.5", device="cpu")
    other.step(2)
    np.testing.assert_allclose(weights(solver), weights(other), rtol=1e-5)
