"""Compilation: loops in parts, code kept on disk and found again, plain Python where asked."""

import hashlib
import importlib
import os
import pickle
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import prange

import minicaffe
import minicaffe.kernels.cpu as cpu
from minicaffe.kernels import _source
from minicaffe.kernels.cpu._compile import jit, vectors
from minicaffe.kernels.cpu._compile.parts import in_parts
from tests.conftest import CHECKOUT

FILL = """
import numpy as np
from minicaffe.device import load_kernel
from minicaffe.kernels.cpu._compile import jit
x = np.zeros(5, np.float32)
load_kernel("fill", "cpu").fill(x, 3)
assert (x == 3).all()
stats = [kernel.part.stats for kernel in jit.known if "part" in vars(kernel)]
print(sum(len(s.cache_hits) for s in stats), sum(len(s.cache_misses) for s in stats))
"""


def run(code: str, path: Path = CHECKOUT, **environment: str) -> str:
    """What a Python of its own prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(path), "MINICAFFE_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- loops in parts ------------------------------------------------------------------------------


def every_kernel() -> list[Any]:
    """All kernels of the device."""
    for module in pkgutil.iter_modules(cpu.__path__):
        importlib.import_module(f"{cpu.__name__}.{module.name}")
    return [kernel for kernel in jit.known if kernel.__module__.startswith("minicaffe.kernels.")]


def test_every_kernel_ends_with_its_one_loop() -> None:
    for kernel in every_kernel():
        assert in_parts(kernel.body).__name__ == kernel.__name__


def test_parts_make_up_the_loop() -> None:
    def body(x: Any, y: Any) -> None:
        n = x.size
        for i in prange(n):
            y[i] = factor * x[i] * x[i]

    factor = 2
    part = numba.njit(in_parts(body))
    x, y = np.arange(11), np.zeros(11)
    part(1, 3, x, y)
    np.testing.assert_array_equal(y[[0, 1, 2, 7]], 0)
    np.testing.assert_array_equal(y[3:7], 2 * x[3:7] ** 2)
    part(0, 3, x, y)
    part(2, 3, x, y)
    np.testing.assert_array_equal(y, 2 * x**2)


def test_a_body_that_cannot_be_cut_is_refused() -> None:
    def sums_after_the_loop(x: Any, y: Any) -> None:
        for i in prange(x.size):
            y[i] = x[i]
        y[0] = 0

    with pytest.raises(SyntaxError, match=r"test_kernels_jit\.py:\d+: the last statement"):
        in_parts(sums_after_the_loop)


# --- the cache -----------------------------------------------------------------------------------


def test_a_second_process_finds_the_code(tmp_path: Path) -> None:
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "1 0"


MOVED = """
import numpy as np
from minicaffe.errors import KernelError
from minicaffe.kernels.cpu._compile import jit
from numba import prange

@jit.kernel
def moved(x):
    for i in prange(x.size):
        if x[i] == 0:
            raise ValueError("a zero")

try:
    moved(np.zeros(3, np.float32))
except KernelError as error:
    print(error)
"""


def test_an_error_in_code_of_the_cache_names_the_file_where_it_now_is(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        path = tmp_path / folder / "moved_kernel.py"
        path.parent.mkdir()
        path.write_text(MOVED)
        said = run(
            "import moved_kernel",
            MINICAFFE_CACHE_DIR=str(tmp_path / "cache"),
            PYTHONPATH=f"{path.parent}:{CHECKOUT}",
        )
        assert said.endswith(f"{folder}/moved_kernel.py:11, kernel moved: ValueError: a zero")
    assert len(list((tmp_path / "cache").glob("**/moved_kernel.moved-*.code"))) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("BOUNDSCHECK", "1"), ("OPT", "1"), ("DEBUGINFO", "1"), ("LOOP_VECTORIZE", "0")],
)
def test_the_settings_of_the_compiler_have_code_of_their_own(
    tmp_path: Path, name: str, value: str
) -> None:
    """So that checked code is never taken for unchecked code, nor the other way round."""
    changed = {f"NUMBA_{name}": value, "MINICAFFE_CACHE_DIR": str(tmp_path)}
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    assert run(FILL, **changed) == "0 1"
    assert run(FILL, **changed) == "1 0"
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "1 0"


@pytest.mark.parametrize("who", ["group", "others", "a parent", "another owner", "a file's owner"])
def test_code_that_others_may_have_written_is_not_run(tmp_path: Path, who: str) -> None:
    base = tmp_path / "cache"
    assert run(FILL, MINICAFFE_CACHE_DIR=str(base)) == "0 1"
    places = [base, *base.glob("*"), *base.glob("*/*")]
    assert [place.stat().st_mode & 0o022 for place in places] == [0, 0, 0]
    ran = tmp_path / "ran"
    evil = pickle.dumps(_Evil(str(ran)))
    for path in base.glob("*/*/fill.*.code"):
        path.write_bytes(hashlib.sha256(evil).digest() + evil)
    if who.endswith("owner"):
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        for path in [places[-1]] if who == "another owner" else places[-1].glob("*.code"):
            os.chown(path, 12345, 12345)
    else:
        place = base if who == "a parent" else places[-1]
        place.chmod(0o777 if who == "others" else 0o775)
    try:
        assert run(FILL, MINICAFFE_CACHE_DIR=str(base)) == "0 1"
    finally:
        places[-1].chmod(0o700)
    assert not ran.exists()


def test_a_folder_with_the_sticky_bit_may_hold_the_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "1 0"


class _Evil:
    """What makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_damaged_code_is_made_again(tmp_path: Path) -> None:
    run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path))
    for file in tmp_path.rglob("*.code"):
        file.write_bytes(file.read_bytes()[:-100])
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "1 0"


def test_what_is_no_code_is_made_again(tmp_path: Path) -> None:
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    for value in (7, ("a", "tuple"), {}):
        for file in tmp_path.rglob("fill.*.code"):
            data = pickle.dumps(value)
            file.write_bytes(hashlib.sha256(data).digest() + data)
        assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
        assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "1 0"


def test_a_disk_that_is_full_keeps_nothing_half_written(tmp_path: Path) -> None:
    full = "import os\ndef full(*_): raise OSError('disk full')\nos.replace = full\n"
    assert run(full + FILL, MINICAFFE_CACHE_DIR=str(tmp_path)) == "0 1"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run(FILL, MINICAFFE_CACHE_DIR=str(tmp_path / "file")) == "0 1"


def test_code_in_a_zip_is_found_wherever_the_zip_is(tmp_path: Path) -> None:
    """What Spark ships is unpacked at a new place for every application."""
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    archive = tmp_path / "one" / "minicaffe.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for room, name in (("minicaffe", "minicaffe"), ("kernels", "minicaffe/kernels")):
            for source in (CHECKOUT / room).rglob("*.py"):
                file.write(source, f"{name}/{source.relative_to(CHECKOUT / room)}")
    cache = str(tmp_path / "cache")
    assert run(FILL, archive, MINICAFFE_CACHE_DIR=cache) == "0 1"
    moved = shutil.copy(archive, tmp_path / "two")
    assert run(FILL, Path(moved), MINICAFFE_CACHE_DIR=cache) == "1 0"


def test_the_stamp_covers_the_modules_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of gemm contains that of the micro-kernel, which stands in another file."""
    importlib.import_module("minicaffe.kernels.cpu.gemm")
    read = _source._source
    before = _source.source_stamp.__wrapped__("minicaffe.kernels.cpu.gemm")
    changed = "minicaffe.kernels.cpu.gemm.micro_kernel"
    monkeypatch.setattr(
        _source, "_source", lambda module: read(module) + b"#" * (module.__name__ == changed)
    )
    assert _source.source_stamp.__wrapped__("minicaffe.kernels.cpu.gemm") != before
    _source.source_stamp.cache_clear()


# --- bounds --------------------------------------------------------------------------------------

ASTRAY = """
import numpy as np
from numba import prange
from minicaffe.errors import KernelError
from minicaffe.kernels.cpu._compile.jit import kernel
@kernel
def beyond(x):
    for i in prange(x.size):
        x[i + at] = i
at = OFFSET
try:
    beyond(np.zeros(5, np.float32))
except KernelError as error:
    print(error)
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_checked_kernel_that_goes_astray_is_named(tmp_path: Path, threads: str) -> None:
    (tmp_path / "astray.py").write_text(ASTRAY.replace("OFFSET", "1"))
    said = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import astray",
        NUMBA_BOUNDSCHECK="1",
        MINICAFFE_NUM_THREADS=threads,
        MINICAFFE_CACHE_DIR=str(tmp_path / "cache"),
    )
    place = f"{tmp_path.name}/astray.py:6, kernel beyond: "
    assert said.endswith(f"{place}it, or what it calls, reads or writes beyond the end of an array")


def test_the_switch_of_the_commands_comes_before_the_kernels() -> None:
    """`-check` works in a process that has loaded no kernel, as the commands have not."""
    said = run(
        "from minicaffe.cli._net_flags import check_kernels\n"
        "from minicaffe.cli import test, time, train\n"
        "from minicaffe.solver.create import create_solver\n"
        "check_kernels()\n"
        "from minicaffe.kernels.cpu._compile import cache, jit\n"
        "print(jit.CHECKED, cache.folder().name.endswith('-checked'))"
    )
    assert said == "True True"


# --- vectors and arithmetic ----------------------------------------------------------------------


def test_the_variable_sets_width_features_and_place(tmp_path: Path) -> None:
    """Whatever the processor has; code of other vectors is not taken from the cache."""
    show = """
from minicaffe.kernels.cpu._compile.vectors import CHOSEN, features
from numba.core.registry import cpu_target
_, _, used = cpu_target.target_context.codegen().magic_tuple()
print(CHOSEN.lanes, "+avx512f" in used, "+avx2" in used)
"""
    for word, lanes, left_out in (("avx512", "16", 0), ("avx2", "8", 1), ("plain", "4", 2)):
        found = {"MINICAFFE_CACHE_DIR": str(tmp_path), "MINICAFFE_VECTORS": word}
        assert run(FILL, **found) == "0 1"
        width, *wide = run(show, **found).split()
        assert width == lanes
        assert wide[:left_out] == ["False"] * left_out


def test_vectors_that_do_not_exist() -> None:
    show = """
from minicaffe.errors import DeviceError
from minicaffe.device import load_kernel
try:
    load_kernel("fill", "cpu")
except DeviceError as error:
    print(error)
"""
    said = "MINICAFFE_VECTORS is 'avx3': it may be avx512, avx2, plain"
    assert run(show, MINICAFFE_VECTORS="avx3") == said


def test_features_that_are_left_out() -> None:
    host = "+avx,+avx2,+avx512f,-avx512vl,+fma,+sse2,+vaes"
    assert vectors.without(host, vectors.WIDE) == "+avx,+avx2,-avx512f,-avx512vl,+fma,+sse2,+vaes"
    assert vectors.without(host, vectors.ALL) == "-avx,-avx2,-avx512f,-avx512vl,-fma,+sse2,-vaes"
    assert vectors.without("", vectors.ALL) == ""


def test_fast_math_leaves_nan_infinity_and_the_sign_of_zero_alone() -> None:
    assert {"contract", "reassoc", "arcp"} == jit.FASTMATH


# --- without a compiler --------------------------------------------------------------------------


PLAIN = """
import numpy as np
from minicaffe.device import load_kernel
rng = np.random.default_rng(6)
x = rng.standard_normal((2, 4, 6, 5), np.float32)
for kernel, stride, pad, groups in (((3, 2), (2, 1), (1, 1), 2), ((1, 1), (1, 1), (0, 0), 1)):
    weight = rng.standard_normal((3 * groups, 4 // groups, *kernel), np.float32)
    geometry = kernel, stride, pad, (1, 1), groups
    out = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip((6, 5), pad, kernel, stride))
    dy = rng.standard_normal((2, 3 * groups, *out), np.float32)
    results = []
    for device in ("reference", "cpu"):
        ops = load_kernel("convolution", device)
        plan = ops.plan(x.shape, dy.shape, *geometry)
        scratch = np.zeros(ops.scratch_size(plan), np.float32)
        y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(weight)
        ops.forward(plan, x, weight, None, y, scratch)
        ops.backward_data(plan, dy, weight, dx, scratch)
        ops.backward_weight(plan, x, dy, dw, scratch)
        pool = load_kernel("pooling", device)
        top, mask = np.zeros((2, 4, 3, 3), np.float32), np.zeros((2, 4, 3, 3), np.int32)
        mean = np.zeros_like(top)
        pool.max_forward(x, top, mask, (2, 2), (2, 2), (0, 0))
        pool.average_forward(x, mean, (2, 2), (2, 2), (0, 0))
        c = np.ones((5, 7), np.float32)
        gemm = load_kernel("gemm", device).gemm
        gemm(x.reshape(-1)[:45].reshape(9, 5), x.reshape(-1)[:63].reshape(9, 7), c, True, beta=2)
        results.append([y, dx, dw, top, mask, mean, c])
    for one, two in zip(*results):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
print("equal")
"""


def test_kernels_run_as_plain_python(tmp_path: Path) -> None:
    assert run(PLAIN, NUMBA_DISABLE_JIT="1", MINICAFFE_CACHE_DIR=str(tmp_path)) == "equal"
    assert not list(tmp_path.rglob("*.code"))


def test_small_arrays_stay_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = []
    real = jit.launch

    def launch(address: int, count: int, args: tuple[Any, ...]) -> None:
        launched.append(args[0].size)
        real(address, count, args)

    monkeypatch.setattr(jit, "launch", launch)
    monkeypatch.setattr(jit, "SHORT", 1 << 14)
    fill = importlib.import_module("minicaffe.kernels.cpu.fill").fill
    before = minicaffe.num_threads()
    minicaffe.set_num_threads(2)
    try:
        for size in (1 << 12, 1 << 14):
            values = np.zeros(size, np.float32)
            fill(values, 3)
            assert (values == 3).all()
    finally:
        minicaffe.set_num_threads(before)
    assert launched == ([] if jit.DISABLED else [1 << 14])
