"""Texts of LLVM as rows: what is shown of a module, and what is told of an instruction."""

import pytest

from minicaffe.inspection.listing import asm, llvm, notes_x86
from minicaffe.inspection.listing.names import file_name, symbol_name

KERNEL = "_ZN9minicaffe7kernels3cpu4gemm5_gemmB2v1B8c8tJTIeEx"
INNER = "_ZN9minicaffe7kernels3cpu4gemm8multiplyB2v2B8c8tJTIeEx"
ASM = f"""
	.intel_syntax noprefix
	.section	.ltext,"axl",@progbits
	.type	{KERNEL},@function
{KERNEL}:
.Lfunc_begin0:
	.file	1 "/elsewhere/checkout/kernels/cpu" "relu.py"
	.loc	1 40 0
	.cfi_startproc
	push	rbx
	movabs	rbx, offset {INNER}
	mov	eax, dword ptr [rsp + 16]
.Ltmp3:
	.loc	1 42 1 prologue_end
	test	rax, rax
	jle	.LBB0_3
.LBB0_2:
	call	rbx
	dec	rax
	jne	.LBB0_2
.LBB0_3:
	.loc	1 0 1 is_stmt 0
	pop	rbx
	ret
.Lfunc_end0:
	.size	{KERNEL}, .Lfunc_end0-{KERNEL}
	.section	.lrodata.cst4,"aM",@progbits,4
.LCPI1_0:
	.long	0x3f000000
	.ltext
	.type	{INNER},@function
{INNER}:
	movabs	rax, offset .LCPI1_0
	vbroadcastss	ymm2, dword ptr [rax]
.LBB1_1:
	vfmadd231ps	ymm0, ymm2, ymmword ptr [rdi + 4*rcx]
	vmovups	ymmword ptr [rsp + 32], ymm0
	sub	rcx, 8
	jne	.LBB1_1
	vmulss	xmm0, xmm0, xmm2
	jmp	qword ptr [8*rdx + .LJTI1_0]
.LBB1_5:
	vzeroupper
	ret
.Lfunc_end1:
.LJTI1_0:
	.quad	.LBB1_1
	.quad	.LBB1_5
	.type	_ZN7cpython9minicaffe5_gemmEx,@function
_ZN7cpython9minicaffe5_gemmEx:
	ret
.Lfunc_end2:
"""


@pytest.fixture(scope="module")
def form():
    return asm.form(ASM, KERNEL, "machine code")


def test_what_is_shown_is_the_kernel_and_what_it_calls_the_hottest_first(form):
    assert [(each.name, each.first, each.last) for each in form.functions] == [
        ("multiply", 0, 11), ("_gemm", 12, 23),
    ]  # fmt: skip


def test_directives_are_dropped_labels_numbered_and_symbols_shortened(form):
    assert [row.text for row in form.rows] == [
        "movabs rax, offset constant0",
        "vbroadcastss ymm2, dword ptr [rax]",
        "L1:",
        "vfmadd231ps ymm0, ymm2, ymmword ptr [rdi + 4*rcx]",
        "vmovups ymmword ptr [rsp + 32], ymm0",
        "sub rcx, 8",
        "jne L1",
        "vmulss xmm0, xmm0, xmm2",
        "jmp qword ptr [8*rdx + table0]",
        "L2:",
        "vzeroupper",
        "ret",
        "push rbx",
        "movabs rbx, offset multiply",
        "mov eax, dword ptr [rsp + 16]",
        "test rax, rax",
        "jle L2",
        "L1:",
        "call rbx",
        "dec rax",
        "jne L1",
        "L2:",
        "pop rbx",
        "ret",
    ]


def test_rows_know_their_line_and_line_0_is_of_no_file(form):
    places = [(row.file, row.line) for row in form.rows[12:] if row.kind != "label"]
    assert places[0] == ("kernels/cpu/relu.py", 40)
    assert places[3] == ("kernels/cpu/relu.py", 42)
    assert places[-1] == ("", 0)


def test_kinds_and_counts_tell_vectors_memory_and_the_stack(form):
    kinds = {row.text.split(" ")[0]: row.kind for row in form.rows}
    assert kinds["vfmadd231ps"] == "multiply-add"
    assert kinds["vbroadcastss"] == "memory"
    assert kinds["vmovups"] == kinds["push"] == "stack"
    assert kinds["vmulss"] == "other"
    assert (kinds["sub"], kinds["jne"], kinds["call"]) == ("address", "branch", "call")
    inner, outer = form.loops
    assert inner.counts == {
        "instructions": 6, "vector": 2, "multiply-add": 1, "memory": 3, "stack": 1,
    }  # fmt: skip
    assert (outer.first, outer.last, outer.counts["instructions"]) == (17, 20, 3)


def test_notes_name_what_is_called_and_the_constants(form):
    notes = {row.text: row.note for row in form.rows}
    assert notes["call rbx"].endswith("Here: multiply.")
    assert notes["vbroadcastss ymm2, dword ptr [rax]"].endswith("constant0 is 0.5.")
    fused = "vfmadd231ps ymm0, ymm2, ymmword ptr [rdi + 4*rcx]"
    assert notes[fused] == (
        "8 multiply-adds of float32, rounded once: ymm0 = ymm2 * memory + ymm0."
    )


def test_a_jump_through_a_table_may_go_to_each_of_its_places(form):
    (row,) = [at for at, row in enumerate(form.rows) if row.text.startswith("jmp qword")]
    assert form.rows[row].loop == form.loops[0].number, "it may go back to the loop's head"


ENVIRONMENT = KERNEL.replace("_ZN", "_ZN08NumbaEnv", 1)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (KERNEL, "_gemm"),
        (ENVIRONMENT, "environment of _gemm"),
        (f'".const.missing Environment: {ENVIRONMENT}"', "text of _gemm"),
        (".const.pickledata.1", "pickledata.1"),
        ("NRT_incref", "NRT_incref"),
    ],
)
def test_symbols_have_short_names(symbol, name):
    assert symbol_name(symbol) == name


def test_files_are_named_from_the_folder_that_holds_the_rooms(checkout, tmp_path):
    assert file_name(str(checkout / "kernels/cpu/relu.py")) == "kernels/cpu/relu.py"
    assert file_name(str(checkout / "minicaffe/layer.py")) == "minicaffe/layer.py"
    assert file_name("/another/checkout/kernels/cpu/gemm/packing.py") == (
        "kernels/cpu/gemm/packing.py"
    )
    assert file_name(str(tmp_path / "own.py")) == str(tmp_path / "own.py")


LLVM = f"""
define i32 @{KERNEL}(ptr %x, i64 %n) local_unnamed_addr #1 !dbg !4 {{
entry:
  %start = getelementptr inbounds float, ptr %x, i64 4, !dbg !9
  br label %body, !dbg !9

body:                                             ; preds = %body, %entry
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %v = load <8 x float>, ptr %x, align 4, !dbg !10, !tbaa !2
  %sum = call contract <8 x float> @llvm.fma.v8f32(<8 x float> %v, ptr %x), !dbg !10
  store <8 x float> %sum, ptr %x, align 4, !dbg !11
  %done = tail call i32 @{INNER}(ptr %x), !dbg !11
  %next = add nuw i64 %i, 8, !dbg !9
  %more = icmp ult i64 %next, %n, !dbg !9
  br i1 %more, label %body, label %exit, !dbg !9, !llvm.loop !12

exit:                                             ; preds = %body
  ret i32 0, !dbg !11
}}

define linkonce_odr i32 @{INNER}(ptr %x) {{
  ret i32 0
}}

!3 = !DIFile(filename: "relu.py", directory: "/elsewhere/checkout/kernels/cpu")
!4 = distinct !DISubprogram(name: "_rectify", scope: !3, file: !3, line: 41)
!5 = !DILexicalBlockFile(scope: !4, file: !6, discriminator: 0)
!6 = !DIFile(filename: "gemm.py", directory: "/elsewhere")
!9 = !DILocation(line: 42, column: 1, scope: !4)
!10 = !DILocation(line: 36, column: 1, scope: !5, inlinedAt: !9)
!11 = !DILocation(line: 0, scope: !4)
"""


def test_llvms_code_has_lines_loops_kinds_and_words():
    form = llvm.form(LLVM, KERNEL)
    assert [each.name for each in form.functions] == ["_gemm", "multiply"]
    rows = {row.text.split(" = ")[0]: row for row in form.rows}
    assert rows["%start"].text == "%start = getelementptr inbounds float, ptr %x, i64 4"
    assert (rows["%start"].file, rows["%start"].line) == ("kernels/cpu/relu.py", 42)
    assert (rows["%v"].file, rows["%v"].line) == ("/elsewhere/gemm.py", 36)
    assert rows["%done"].line == 0 and rows["%done"].file == ""
    assert rows["%done"].text == "%done = tail call i32 @multiply(ptr %x)"
    kinds = {name: row.kind for name, row in rows.items()}
    assert kinds["%start"] == kinds["%next"] == "address"
    assert (kinds["%v"], kinds["%sum"], kinds["%done"]) == ("memory", "multiply-add", "call")
    (loop,) = form.loops
    assert form.rows[loop.first].text == "body:" and form.rows[loop.last].text.startswith("br i1")
    assert loop.counts["multiply-add"] == 1 and loop.counts["vector"] == 3
    assert "8 float32 at once" in rows["%sum"].note
    assert not [row.text for row in form.rows if row.kind != "label" and not row.note]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vmulps ymm0, ymm1, ymm2", "Multiplies 8 pairs of float32."),
        ("vaddss xmm0, xmm0, xmm1", "Adds two float32."),
        ("vmovups zmm0 {k1} {z}, zmmword ptr [rdi]",
         "Reads 16 float32 from memory. Only the lanes that the mask k1 names; the others become"
         " 0."),
        ("vfnmadd132sd xmm0, xmm1, qword ptr [rax]",
         "A multiply-add of float64, rounded once: xmm0 = -xmm0 * memory + xmm1."),
        ("vcmpltps k1, zmm0, zmm1", "Compares 16 pairs of float32 into a mask: less?"),
        ("vxorps xmm3, xmm3, xmm3", "Makes xmm3 0."),
        ("jb L3", "Jumps if the comparison before says: below (as natural numbers)."),
        ("mov rax, qword ptr [rsp + 8]", "Reads a number from memory."),
        ("frobnicate eax", ""),
    ],
)  # fmt: skip
def test_a_sentence_says_what_an_instruction_does(text, said):
    mnemonic, _, operands = text.partition(" ")
    assert notes_x86.note(mnemonic, tuple(operands.split(", "))) == said


def test_every_instruction_of_our_kernels_has_a_sentence(checkout):
    """Those that objdump finds in the kernels' code for AVX2 and AVX-512, of each width one."""
    rows = (checkout / "tests/inspection/code/x86_instructions.txt").read_text().splitlines()
    assert len(rows) > 300
    unknown = []
    for row in rows:
        mnemonic, _, operands = row.partition(" ")
        if not notes_x86.note(mnemonic, tuple(operands.split(","))):
            unknown.append(row)
    assert unknown == []


@pytest.mark.parametrize(
    ("text", "is_vector"),
    [
        ("vaddps xmm0, xmm1, xmm2", True),
        ("vaddss xmm0, xmm1, xmm2", False),
        ("vpabsd ymm0, ymm1", True),
        ("vmovd xmm0, eax", False),
        ("vcvtsi2ss xmm0, xmm0, rax", False),
        ("vandps xmm0, xmm1, xmm2", False),  # it serves single numbers too
        ("vandps ymm0, ymm1, ymm2", True),
        ("add rax, 8", False),
    ],
)
def test_vectors_are_told_from_single_numbers(text, is_vector):
    mnemonic, _, operands = text.partition(" ")
    assert notes_x86.is_vector(mnemonic, tuple(operands.split(", "))) is is_vector
