"""The device `cuda`, or the line that installs what it needs."""

import pytest

from minicaffe.device import available


@pytest.fixture(scope="session")
def cuda() -> str:
    """The device's name; the test is skipped where nothing can run its kernels."""
    can, why = available("cuda")
    if not can:
        pytest.skip(why)
    return "cuda"


@pytest.fixture(scope="session")
def compiler() -> None:
    """The test is skipped where no kernel can be compiled."""
    from minicaffe.kernels.cuda._compile.ptx import versions

    if versions() is None:
        pytest.skip("there is no compiler for CUDA kernels: pip install 'minicaffe[cuda-emu]'")
