"""The door of the device `cpu`: the kernels that ran, and the machine code that they ran."""

import importlib
import os
import signal
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.inspection.as_json import dumps, loads
from minicaffe.inspection.facts import KernelCall, Listing
from minicaffe.layer import known_types
from tests.conftest import CHECKOUT
from tests.inspection.code.nets import calls_of_docstrings

jit = importlib.import_module("minicaffe.kernels.cpu._compile.jit")
door = importlib.import_module("minicaffe.kernels.cpu._inspect")
texts = importlib.import_module("minicaffe.kernels.cpu._inspect.texts")
child = importlib.import_module("minicaffe.kernels.cpu._inspect.child")
vectors = importlib.import_module("minicaffe.kernels.cpu._compile.vectors")

pytestmark = pytest.mark.skipif(jit.DISABLED, reason="kernels are plain Python")


@pytest.fixture(scope="module")
def ran() -> list[KernelCall]:
    """What ReLU ran, apart and in place."""
    x, y = np.ones((4, 3, 5), np.float32), np.empty((4, 3, 5), np.float32)
    with door.calls() as calls:
        load_kernel("relu", "cpu").forward(x, y, 0.1)
        load_kernel("relu", "cpu").forward(y, y, 0.1)
    return list(calls)


def listed(call: KernelCall) -> Listing:
    found = door.listing(call)
    assert found.missing == ""
    assert set(found.forms) == set(door.forms()) == {"asm", "llvm"}
    return found


def test_calls_come_in_order_with_types_threads_and_time(ran):
    assert [call.kernel for call in ran] == ["relu._rectify", "relu._rectify_in_place"]
    assert ran[0].signature == "array(float32, 1d, C), array(float32, 1d, C), float32"
    assert ran[0].file == "kernels/cpu/relu.py"
    assert ran[0].detail == "1 thread"
    assert all(call.ms > 0 for call in ran)


def test_nothing_is_written_down_outside_and_kernels_are_as_before(ran):
    assert jit.Kernel.__call__.__module__ == jit.__name__
    assert jit.Kernel.on_one_thread.__module__ == jit.__name__


def test_rows_know_lines_files_loops_and_words(ran):
    listing = listed(ran[0])
    lines = (CHECKOUT / "kernels" / "cpu" / "relu.py").read_text().splitlines()
    assert lines[listing.first_line - 1].startswith("def _rectify(")
    assert lines[listing.last_line - 1].strip().startswith("y[i] = rectified")
    helper = next(at for at, row in enumerate(lines, 1) if row.startswith("def rectified("))
    for form in listing.forms.values():
        rows = [row for row in form.rows if row.kind != "label"]
        assert {row.file for row in rows if row.line} == {"kernels/cpu/relu.py"}
        places = {row.line for row in rows}
        assert set(range(listing.first_line + 1, listing.last_line + 1)) <= places
        assert places & set(range(helper + 1, helper + 5)), "the helper that is pasted in"
        assert listing.first_line - 1 not in places, "its decorator"
        assert not [row.text for row in rows if not row.note]
        assert [each.name for each in form.functions] == ["_rectify"]
    asm = listing.forms["asm"]
    hottest = max(asm.loops, key=lambda loop: loop.counts["vector"])
    assert hottest.counts["memory"] >= 2 and hottest.counts["vector"] >= 3
    assert loads(Listing, dumps(listing)) == listing


def test_a_second_look_compiles_nothing(ran, monkeypatch):
    first = listed(ran[0])
    monkeypatch.setattr(texts, "in_child", lambda run: pytest.fail("something is compiled"))
    assert door.listing(ran[0]) == first


def assembled(text: str) -> dict[str, bytes]:
    """The machine code that an assembly's text becomes."""
    llvm.initialize_native_asmparser()
    escaped = text.replace("\\", "\\5C").replace('"', "\\22").replace("\t", "\\09")
    rows = "\n".join(f'module asm "{row}"' for row in escaped.splitlines())
    codegen = importlib.import_module("numba.core.registry").cpu_target.target_context.codegen()
    options = {"opt": 3}
    codegen._customize_tm_options(options)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(**options)
    return texts.sections(machine.emit_object(llvm.parse_assembly(rows)))


def assert_is_what_runs(call: KernelCall) -> None:
    """The machine code with lines is that which runs, and the text assembled again gives it too."""
    kernel, kinds = call.key
    made = texts.in_child(lambda: texts.compile_with_lines(kernel, kinds))
    path = kernel.part._cache.file(kinds, kernel.part.targetctx.codegen())
    running = texts.code_that_runs(kernel, kinds, path)
    assert running and made.code == running, call.kernel
    assert texts.in_child(lambda: assembled(made.asm)) == running, call.kernel


def test_the_text_is_the_machine_code_that_runs(ran):
    assert_is_what_runs(ran[0])


LOOKED_AT: set[tuple[str, str]] = set()  # layers share kernels; each is compiled again once


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("layer_type", sorted(known_types()))
def test_the_text_of_every_kernel_is_the_machine_code_that_runs(layer_type):
    for call in calls_of_docstrings(layer_type, "cpu", door):
        if (call.kernel, call.signature) in LOOKED_AT:
            continue
        LOOKED_AT.add((call.kernel, call.signature))
        assert_is_what_runs(call)
        for form in listed(call).forms.values():
            assert not [row.text for row in form.rows if row.kind != "label" and not row.note]
            assert sum(row.line > 0 for row in form.rows) > len(form.rows) / 2
            assert all(row.file.startswith("kernels/") for row in form.rows if row.line)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_product_begins_with_the_function_that_multiplies():
    a = np.ones((64, 64), np.float32)
    with door.calls() as calls:
        load_kernel("gemm", "cpu").gemm(a, a, np.empty_like(a))
    form = listed(calls[-1]).forms["asm"]
    names = [each.name for each in form.functions]
    assert names[0] == "multiply_packed" and "_gemm" in names
    outer = {loop.parent for loop in form.loops}
    inner = [loop for loop in form.loops if loop.number not in outer]
    hottest = max(inner, key=lambda loop: loop.counts["multiply-add"])
    assert hottest.last <= form.functions[0].last
    assert hottest.counts["multiply-add"] >= 12
    if vectors.CHOSEN.lanes == 8:  # twelve sums, and what is multiplied, fit AVX2's 16 registers
        assert hottest.counts["stack"] == 0
    assert {"kernels/cpu/gemm/packing.py", "kernels/cpu/_vector/lanes.py"} <= {
        row.file for row in form.rows
    }


# ---- where it cannot be had


def test_a_kernel_whose_lines_kill_the_compiler_is_shown_without(ran, tmp_path, monkeypatch):
    def aborts(kernel, kinds):
        os.abort()

    monkeypatch.setattr(texts, "compile_with_lines", aborts)
    monkeypatch.setattr(texts, "kept_at", lambda running: None)
    listing = door.listing(ran[0])
    assert listing.missing == (
        "LLVM could not write the lines of this kernel (signal SIGABRT):"
        " shown without its lines of Python"
    )
    rows = listing.forms["asm"].rows
    assert rows and not any(row.line for row in rows)


def test_a_kernel_whose_machine_code_lines_would_change_is_shown_without(ran, monkeypatch):
    monkeypatch.setattr(texts, "code_that_runs", lambda *given: {".text": b"other"})
    monkeypatch.setattr(texts, "kept_at", lambda running: None)
    listing = door.listing(ran[0])
    assert listing.missing.startswith("with lines this kernel would become other machine code")
    assert listing.forms["asm"].rows and not any(row.line for row in listing.forms["asm"].rows)


def test_a_child_hands_back_a_value_or_says_how_it_died():
    assert child.in_child(lambda: {"a": 1}) == {"a": 1}
    with pytest.raises(child.Died, match="ZeroDivisionError: "):
        child.in_child(lambda: 1 // 0)
    with pytest.raises(child.Died, match="signal SIGKILL"):
        child.in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(child.Died, match="exit status 3"):
        child.in_child(lambda: os._exit(3))


def test_plain_python_is_said_to_be_such():
    program = (
        "import numpy as np, importlib; from minicaffe.device import load_kernel\n"
        "door = importlib.import_module('minicaffe.kernels.cpu._inspect')\n"
        "with door.calls() as calls:\n"
        "    load_kernel('relu', 'cpu').forward(*np.ones((2, 3), np.float32), 0.1)\n"
        "print(door.forms(), calls[0].detail, '|', door.listing(calls[0]).missing)"
    )
    assert printed(program, NUMBA_DISABLE_JIT="1") == (
        "() plain Python | NUMBA_DISABLE_JIT is set: kernels are plain Python, there is no machine"
        " code"
    )


def test_a_students_kernel_is_listed_with_the_lines_of_its_own_file(tmp_path):
    """And one that came from the cache, where its text is no more."""
    own = tmp_path / "lab" / "kernels" / "cpu" / "relu.py"
    own.parent.mkdir(parents=True)
    text = (CHECKOUT / "kernels" / "cpu" / "relu.py").read_text()
    own.write_text(text.replace('"""ReLU', '"""A student\'s.\n\nReLU', 1))
    program = (
        "import numpy as np, importlib; from minicaffe.device import load_kernel\n"
        "door = importlib.import_module('minicaffe.kernels.cpu._inspect')\n"
        "with door.calls() as calls:\n"
        "    load_kernel('relu', 'cpu').forward(*np.ones((2, 3), np.float32), 0.1)\n"
        "found = door.listing(calls[0])\n"
        "lines = {row.line for row in found.forms['asm'].rows if row.line}\n"
        "print(found.file, found.first_line, found.last_line, max(lines), found.missing)"
    )
    last = (
        next(at for at, row in enumerate(own.read_text().splitlines(), 1) if "in prange" in row) + 1
    )
    expected = f"kernels/cpu/relu.py {last - 2} {last} {last}"
    for _ in range(2):
        found = printed(
            program,
            MINICAFFE_PATH=str(tmp_path / "lab"),
            MINICAFFE_CACHE_DIR=str(tmp_path / "kept"),
        )
        assert found == expected
        for kept in (tmp_path / "kept").rglob("*.text"):
            kept.unlink()  # and the code stays


def printed(program: str, **environment: str) -> str:
    """What a program prints; its traceback if it ends by an exception."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
    )
    return done.stdout.strip() or done.stderr
