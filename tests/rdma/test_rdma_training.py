"""LeNet on two ranks, each a process: over RDMA it has the weights that it has over TCP."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.distributed.transport import missing

pytestmark = pytest.mark.skipif(bool(missing("rdma")), reason=missing("rdma"))


@pytest.mark.timeout(300)
def test_lenet_has_the_bits_of_tcp(tmp_path: Path, checkout: Path) -> None:
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.rdma.train", str(rank), str(tmp_path), "rdma", "tcp"],
            cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = "".join(rank.communicate()[0] for rank in ranks)
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert said.count("RdmaTransport") == said.count("StreamTransport") == 2
    names = [f"{scheme}.{rank}.npy" for scheme in ("rdma", "tcp") for rank in range(2)]
    weights = [np.load(tmp_path / name) for name in names]
    assert weights[0].shape == (431_080,)
    assert np.isfinite(weights[0]).all()
    assert len({each.tobytes() for each in weights}) == 1
