"""Each family gives on `cuda` what it gives on `reference`: cases/<family>.py lists the calls."""

import pytest

from tests.kernels.cuda.case import Case, all_cases, compare


@pytest.mark.parametrize(("family", "case"), [*all_cases()])
def test_cuda_gives_what_reference_gives(cuda: str, family: str, case: Case) -> None:
    compare(family, case, cuda)
