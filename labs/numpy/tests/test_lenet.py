"""LeNet learns with your kernels: its first 20 losses are those of the product's."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

from minicaffe.labs.plugin import close

PROGRAM = Path(__file__).with_name("lenet.py")


def test_lenets_losses_are_the_products():
    seed = os.environ.get("MINICAFFE_LAB_SEED", "0")
    variables = {name: value for name, value in os.environ.items() if name != "MINICAFFE_PATH"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), seed], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, f"the product's own training failed: {done.stderr[-300:]}"
    yours = runpy.run_path(str(PROGRAM))["losses"](int(seed))
    close(
        "losses", yours, json.loads(done.stdout), "LeNet's first 20, one an iteration", 1e-4, 1e-4
    )
