"""Denormals are 0 in a kernel, whichever thread runs it, and NumPy has them before and after."""

from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numba import prange

from minicaffe import set_num_threads
from minicaffe.device import load_kernel
from minicaffe.errors import KernelError
from minicaffe.kernels.cpu._compile import lowering
from minicaffe.kernels.cpu._compile.jit import kernel
from minicaffe.machine.threads import num_threads
from tests.kernels.test_kernels_jit import run
from tests.solver.small_solver import make

Array = Any
LEAST = np.finfo(np.float32).tiny

pytestmark = pytest.mark.skipif(
    not llvm.get_process_triple().startswith(tuple(lowering.FLUSHES)),
    reason="this processor's denormals are left as they are",
)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


@kernel
def halve(x: Array) -> None:
    for i in prange(x.size):
        x[i] *= np.float32(0.5)


@kernel
def raise_if_large(x: Array) -> None:
    for i in prange(x.size):
        x[i] *= np.float32(0.5)
        if x[i] > 1:
            raise ValueError("too large")


def numpy_has_denormals() -> bool:
    """In this thread: as results and as operands."""
    half, small = np.full(8, LEAST) * np.float32(0.5), np.full(8, 1e-41, np.float32)
    return bool((half > 0).all() and (small * np.float32(1e10) > 0).all())


@pytest.mark.usefixtures("threads")
def test_results_and_operands_that_are_denormal_are_0_in_every_part() -> None:
    x = np.tile(np.float32([LEAST, -LEAST, 1e-41, -1e-41, 3 * LEAST]), 20)
    halve(x)
    np.testing.assert_array_equal(x, np.tile(np.float32([0, 0, 0, 0, 1.5 * LEAST]), 20))
    assert numpy_has_denormals()


@pytest.mark.usefixtures("threads")
def test_an_exception_leaves_numpy_its_denormals() -> None:
    with pytest.raises(KernelError, match="too large"):
        raise_if_large(np.full(30, 9, np.float32))
    assert numpy_has_denormals()


BITS = """
import numpy as np
from minicaffe import set_num_threads
from minicaffe.device import load_kernel
from tests.kernels.test_denormals import halve
draw = np.random.default_rng(4)
faded = (draw.standard_normal((99, 99)) * 10.0 ** draw.integers(-44, -15, (99, 99))).astype("f")
found = []
for count in (1, 2, 3):
    set_num_threads(count)
    x, c = faded.reshape(-1).copy(), np.zeros_like(faded)
    halve(x)
    load_kernel("gemm", "cpu").gemm(faded, faded, c)
    found.append(x.tobytes() + c.tobytes())
assert len(set(found)) == 1
assert 0 < np.mean(x == 0) < 1 and 0 < np.mean(c == 0) < 1
print("equal")
"""


def test_any_number_of_threads_gives_the_same_bits() -> None:
    assert run(BITS, NUMBA_NUM_THREADS="3") == "equal"


RULES = [
    "momentum: 0.9",
    "type: 'Nesterov' momentum: 0.9",
    "type: 'Adam' momentum: 0.9 momentum2: 0.999",
    "type: 'RMSProp' rms_decay: 0.9",
    "type: 'AdaDelta' momentum: 0.9",
]


@pytest.mark.parametrize("options", RULES)
def test_the_history_of_a_dead_layer_becomes_0(options: str) -> None:
    solver = make(options)
    for history in solver.history:
        history.update("cpu")[...] = LEAST
    for _ in range(3):
        solver.net.clear_param_diffs()
        solver.apply_update()
    for history in solver.history:
        values = np.abs(history.read("cpu"))
        assert not ((values > 0) & (values < LEAST)).any()


def test_products_of_faded_numbers_are_0() -> None:
    a, b, c = (np.full((32, 32), 1e-30, np.float32) for _ in range(3))
    load_kernel("gemm", "cpu").gemm(a, b, c)
    np.testing.assert_array_equal(c, 0)


@pytest.mark.parametrize(
    ("triple", "wanted"),
    [
        ("x86_64-unknown-linux-gnu", ["stmxcsr", "ldmxcsr"]),
        ("aarch64-unknown-linux-gnu", ["mrs", "msr"]),
        ("arm64-apple-darwin", ["mrs", "msr"]),
        ("riscv64-unknown-linux-gnu", []),
    ],
)
def test_the_code_of_other_processors(triple: str, wanted: list[str]) -> None:
    """It sets the register once, and sets it back before each of the two ends of the function."""
    module = ir.Module()
    module.triple = triple
    real = ir.FloatType().as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.IntType(32), [real]), "f")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    body = function.append_basic_block("body")
    builder.branch(body)
    builder.position_at_end(body)
    square = builder.fmul(*[builder.load(function.args[0])] * 2)
    builder.store(square, function.args[0])
    with builder.if_then(builder.fcmp_ordered(">", square, ir.Constant(ir.FloatType(), 9))):
        builder.ret(ir.IntType(32)(1))
    builder.ret(ir.IntType(32)(0))
    lowering.flush_denormals(function)
    sets = str(module).count('.ldmxcsr"(') + str(module).count('.set.fpcr"(')
    if not wanted:
        assert sets == 0
        return
    assert sets == 3 + 1  # and the declaration
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip("this llvmlite cannot write code for it")
    text = target.create_target_machine().emit_assembly(llvm.parse_assembly(str(module)))
    assert all(word in text.lower() for word in wanted)
