"""What becomes of a text of PTX."""

import pytest

from minicaffe.errors import ParseError
from minicaffe.ptx import parse
from minicaffe.ptx.instruction import Address, Immediate, Not, Register, Special, Symbol, Vector
from tests.ptx.launching import kernel_text

TEXT = """
//
// made by hand
//
.version 8.8
.target sm_80, debug
.address_size 64
.visible .shared .align 16 .b8 tile[128];
.extern .shared .align 4 .b8 rest[];
.const .align 4 .b8 table[4] = {1, 0, 0, 0x80};
.visible .entry _ZN4file6doubleB2v1Ef(
    .param .u64 .ptr .global .align 4 x,
    .param .u32 count,
    .param .align 8 .b8 pair[16],
    .param .u8 flag
)
.maxntid 64, 2, 1
{
    .reg .pred %p<3>;
    .reg .b32 %r<4>; /* two
    lines */
    .reg .b64 %rd<3>;
    .local .align 8 .b8 depot[12];
    .loc 1 7 0
    ld.param.u64 %rd1, [x];
    ld.param.u32 %r1, [count];
    mov.u32 %r2, %tid.x;
    .loc 1 8 5, function_name $L__info_string0, inlined_at 1 7 0
    setp.ge.and.u32 %p1, %r2, %r1, !%p2;
    @!%p1 bra $DONE;
    { .reg .b32 %r1; mov.u32 %r1, rest; ld.shared.v2.b32 {%r1, _}, [%r1+-8]; }
    .loc 1 0 5
    st.global.f32 [%rd1+4], 0f3F800000;
    bar.sync 0;
$DONE:
    ret;
}
.file 1 "/somewhere/file.py"
.section .debug_str { $L__info_string0: .b8 1 .b8 0 }
"""


def test_a_text() -> None:
    module = parse(TEXT)
    assert (module.version, module.target) == ("8.8", "sm_80")
    kernel = module.kernel
    assert kernel.name == "_ZN4file6doubleB2v1Ef" and kernel.short_name == "double"
    assert [(p.name, p.size, p.offset) for p in kernel.parameters] == [
        ("x", 8, 0),
        ("count", 4, 8),
        ("pair", 16, 16),
        ("flag", 1, 32),
    ]
    assert kernel.parameter_bytes == 33
    assert kernel.most_threads == 128
    assert (kernel.local["depot"].size, kernel.local_bytes) == (12, 16)
    assert "tile" not in kernel.shared  # nobody uses it
    assert (kernel.shared["rest"].offset, kernel.shared_bytes) == (0, 0)
    assert module.globals["table"].data == b"\x01\x00\x00\x80"


def test_instructions() -> None:
    kernel = parse(TEXT).kernel
    setp, branch, move, load, store = kernel.instructions[3:8]
    assert (setp.opcode, setp.modifiers, setp.type) == ("setp", ("ge", "and", "u32"), "u32")
    assert setp.operands[3] == Not(Register("%p2"))
    assert setp.reads == ("%r2", "%r1", "%p2") and setp.writes == ("%p1",)
    assert branch.predicate == Register("%p1") and branch.negated
    assert branch.operands == (Symbol("$DONE"),) and branch.reads == ("%p1",)
    assert kernel.instructions[2].operands[1] == Special("%tid.x")
    inner = move.operands[0]
    assert isinstance(inner, Register) and inner.name != "%r1"  # of the inner scope
    assert load.operands == (Vector((inner, Register("_"))), Address(inner, -8))
    assert load.space == "shared" and load.reads == load.writes == (inner.name,)
    assert store.operands == (Address(Register("%rd1"), 4), Immediate(0x3F800000, "f32"))
    assert store.writes == () and store.reads == ("%rd1",)
    line = TEXT.splitlines().index("    st.global.f32 [%rd1+4], 0f3F800000;") + 1
    assert (store.file, store.python_line, store.line) == ("/somewhere/file.py", 8, line)
    assert store.text == "st.global.f32 [%rd1+4], 0f3F800000"


def test_blocks_end_where_threads_may_part_or_wait() -> None:
    blocks = parse(TEXT).kernel.blocks
    assert [(b.start, b.stop, b.successors) for b in blocks] == [
        (0, 5, (2, 1)),
        (5, 9, (2,)),
        (9, 10, ()),
    ]
    assert [b.postdominator for b in blocks] == [2, 2, None]
    assert blocks[0].live == {"%p2"} and "%rd1" in blocks[1].live


@pytest.mark.parametrize(
    ("text", "value"),
    [("-5", -5), ("0x1F", 31), ("017", 15), ("0b101", 5), ("7U", 7), ("0", 0)],
)
def test_integers(text: str, value: int) -> None:
    kernel = parse(kernel_text("", ".reg .b32 %r;", f"mov.u32 %r, {text};")).kernel
    assert kernel.instructions[4].operands[1] == Immediate(value)


def test_a_call_becomes_the_body() -> None:
    text = kernel_text(
        "",
        ".reg .b32 %r<3>;",
        """
        { .param .b32 given; st.param.b32 [given+0], %t;
          .param .b32 result;
          call.uni (result), twice, (given);
          ld.param.b32 %r1, [result+0]; }
        """,
        outside=""".func (.param .b32 out) twice(.param .b32 in)
        { .reg .b32 %r<2>; .reg .pred %p;
          ld.param.u32 %r1, [in]; setp.eq.u32 %p, %r1, 0; @%p bra END;
          add.u32 %r1, %r1, %r1;
        END: st.param.b32 [out+0], %r1; ret; }""",
    )
    kernel = parse(text).kernel
    opcodes = [each.opcode for each in kernel.instructions[4:]]
    assert opcodes == ["mov", "mov", "setp", "bra", "add", "mov", "bra", "mov", "ret"]
    assert "%r1" in kernel.registers and any(name.startswith("%r1#") for name in kernel.registers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^PTX, line 1: a PTX text begins with \.version and \.target$"),
        (kernel_text("", "", "mov.u32 %x, 1;"), r"^PTX, line \d+: no register '%x'$"),
        (kernel_text("", "", "bra nowhere;"), r"^PTX, line \d+: no label 'nowhere'$"),
        (kernel_text("", ".reg .b99 %x;", ""), r"^PTX, line \d+: not a register: '\.reg"),
        (kernel_text("", "", "mov.u32 %t"), r"^PTX, line \d+: "),
        (
            kernel_text("", "", "call f;", outside=".func f() { call f; }"),
            r"^PTX, line \d+: f calls itself$",
        ),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(text)
