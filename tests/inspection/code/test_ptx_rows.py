"""PTX as rows: the very instructions that the emulators read, each with its line and a sentence."""

from pathlib import Path

import pytest

from minicaffe.inspection.listing import notes_ptx, ptx, sass
from minicaffe.ptx import parse
from tests.conftest import CHECKOUT

TEXTS = sorted((CHECKOUT / "tests" / "ptx" / "texts").glob("*.ptx"))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_rows_are_the_instructions_that_the_emulators_read(path: Path):
    text = path.read_text(encoding="utf-8")
    (kernel,) = parse(text).kernels.values()
    form = ptx.form(text)
    shown = [row for row in form.rows if row.kind != "label"]
    read = [each for each in kernel.instructions if each.opcode != "pragma"]
    assert [_plain(row.text) for row in shown] == [_plain(each.text) for each in read]
    for row, each in zip(shown, read, strict=True):  # in an emulator line 0 is the one before it
        assert (row.file, row.line) in (("", 0), (each.file, each.python_line))
    assert not [row.text for row in shown if not row.note]
    assert bool(form.missing) == (".loc" not in text)


def _plain(text: str) -> str:
    """Without blanks, and with labels alike."""
    words = text.rstrip(";").split()
    if "bra" in text:
        words[-1] = "label"
    return "".join(words)


PRODUCT = (CHECKOUT / "tests" / "ptx" / "texts" / "product_in_tiles.ptx").read_text()


def test_the_loop_of_a_product_has_a_multiply_add_for_each_of_a_tiles_numbers():
    form = ptx.form(PRODUCT)
    (loop,) = form.loops
    assert loop.counts["multiply-add"] == 16
    inside = [row for row in form.rows if row.loop == loop.number]
    assert {row.kind for row in inside} >= {"multiply-add", "memory", "address", "branch", "label"}
    assert all(row.file == "tests/ptx/suite.py" for row in inside if row.line)


def test_a_text_without_lines_says_so():
    rows = "\n".join(row for row in PRODUCT.splitlines() if ".loc" not in row)
    assert ptx.form(rows).missing == "NVIDIA's compiler could not keep the lines of this kernel"


def test_a_call_that_goes_over_several_rows_is_one():
    text = """
.visible .func (.param .b32 out) inner_0(
    .param .b32 x
)
{
    .reg .b32 %r<3>;
    { .param .b32 p0; st.param.b32 [p0+0], %r1;
    .param .b32 back;
    call.uni (back),
    inner_1,
    (
    p0
    );
    ld.param.b32 %r2, [back+0];
    }
    ret;
}
"""
    form = ptx.form(text)
    assert [row.text for row in form.rows][1:2] == ["call.uni (back), inner_1, ( p0 )"]
    assert form.rows[1].kind == "call"


def test_sentences_name_the_type_the_memory_and_the_condition():
    assert notes_ptx.note("ld.shared.v4.f32", "{%f1, %f2, %f3, %f4}, [%rd1]") == (
        "Reads 4 numbers (float32) from the block's shared memory."
    )
    assert notes_ptx.note("setp.le.s32", "%p1, %r1, %r2") == (
        "Compares two numbers (integer of 32 bits): less or equal?"
    )
    assert notes_ptx.note("bra", "L1", "@!%p1") == "Only where %p1 is false: jumps."
    assert notes_ptx.note("mov.u32", "%r1, %ctaid.y") == (
        "Reads the number of this block in the grid, along y."
    )
    assert notes_ptx.note("frobnicate.f32", "%f1") == ""


SASS = """
	.section	.text.scale,"ax",@progbits
scale:
.text.scale:
	//## File "tests/ptx/suite.py", line 10
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
	//## File "tests/ptx/suite.py", line 12 inlined at "tests/ptx/suite.py", line 20
	//## File "tests/ptx/suite.py", line 20
        /*0010*/                   LDG.E.128 R4, [R2.64] ;
        /*0020*/                   FFMA R4, R4, R8, R9 ;
        /*0030*/              @!P1 BRA `(.L_x_1) ;
        /*0040*/                   EXIT ;
.L_x_2:
        /*0050*/                   BRA `(.L_x_2);
        /*0060*/                   NOP;
.L_x_3:
"""


def test_the_machine_code_of_a_gpu_has_rows_lines_and_loops():
    form = sass.form(SASS)
    assert [(row.text, row.line, row.kind) for row in form.rows] == [
        ("S2R R0, SR_TID.X", 10, "address"),
        ("L1:", 0, "label"),
        ("LDG.E.128 R4, [R2.64]", 12, "memory"),
        ("FFMA R4, R4, R8, R9", 12, "multiply-add"),
        ("@!P1 BRA L1", 12, "branch"),
        ("EXIT", 12, "branch"),
    ]
    (loop,) = form.loops
    assert (loop.first, loop.last) == (1, 4)
    assert loop.counts == {
        "instructions": 3, "vector": 1, "multiply-add": 1, "memory": 1, "stack": 0,
    }  # fmt: skip
    assert [each.name for each in form.functions] == ["scale"]
