"""Every solver type that there is, those of MINICAFFE_PATH among them, trains alike everywhere."""

import numpy as np
import pytest

from minicaffe.errors import SolverError
from minicaffe.solver.create import known_solvers
from tests.conftest import DEVICES
from tests.solver.small_solver import make, weights

SETTINGS = "base_lr: 0.03125 delta: 0.0625 momentum2: 0.96875 rms_decay: 0.75 momentum: "


def solver_of(name, device):
    try:
        return make(f"type: '{name}' {SETTINGS} 0.875", device=device)
    except SolverError:  # of those that have no momentum
        return make(f"type: '{name}' {SETTINGS} 0", device=device)


@pytest.mark.parametrize("name", sorted(known_solvers()))
def test_a_solver_trains_alike_on_every_device(name):
    seen = {}
    for device in DEVICES:
        solver = solver_of(name, device)
        before = weights(solver)
        solver.step(4)
        seen[device] = weights(solver)
        assert np.isfinite(seen[device]).all() and (seen[device] != before).any()
    for device in DEVICES[1:]:
        np.testing.assert_allclose(seen[device], seen[DEVICES[0]], rtol=1e-4, atol=1e-6)
