"""Where threads go: branches, loops, barriers, returns, calls; and what no emulator could do."""

import numpy as np
import pytest

from minicaffe.errors import KernelError
from minicaffe.ptx import EmulatorFault
from tests.ptx.launching import Bench, kernel_text


def text(body: str, registers: str = "", outside: str = "") -> str:
    """%r is what each thread writes to its element of `out`."""
    return kernel_text(
        ".param .u64 out",
        f".reg .b32 %r, %s; .reg .b64 %o; .reg .pred %p, %q; {registers}",
        f"""
        mov.u32 %r, 0;
        {body}
        ld.param.u64 %o, [out];
        mad.wide.u32 %o, %g, 4, %o;
        st.global.u32 [%o], %r;
        """,
        outside,
    )


def run(body: str, count: int = 64, block: int = 32, **options: object) -> list[int]:
    out = np.zeros(count, np.int32)
    registers, outside = str(options.pop("registers", "")), str(options.pop("outside", ""))
    Bench(text(body, registers, outside)).run(out, grid=count // block, block=block, **options)
    return out.tolist()


def test_loops_of_different_lengths_and_a_branch_in_them() -> None:
    body = """
        and.b32 %s, %g, 7;
    LOOP:
        setp.eq.u32 %p, %s, 0; @%p bra DONE;
        and.b32 %n, %s, 1; setp.eq.u32 %q, %n, 0;
        @%q bra EVEN;
        add.u32 %r, %r, 100; bra NEXT;
    EVEN:
        add.u32 %r, %r, 1;
    NEXT:
        sub.u32 %s, %s, 1; bra LOOP;
    DONE:
    """
    want = [sum(100 if k % 2 else 1 for k in range(1, g % 8 + 1)) for g in range(64)]
    assert run(body) == want


def test_some_threads_return_before_the_others() -> None:
    assert run("setp.gt.u32 %p, %t, 5; @%p ret; mov.u32 %r, 1;") == ([1] * 6 + [0] * 26) * 2
    assert run("setp.gt.u32 %p, %t, 5; @!%p exit; mov.u32 %r, 1;") == ([0] * 6 + [1] * 26) * 2


def test_a_register_may_be_written_by_one_half_and_the_other() -> None:
    body = "setp.lt.u32 %p, %t, 2; @%p mov.u32 %s, 7; @!%p mov.u32 %s, 8; mov.u32 %r, %s;"
    assert run(body)[:4] == [7, 7, 8, 8]


BARRIER = """
    mov.u32 %s, word; mad.lo.u32 %s, %t, 4, %s; st.shared.u32 [%s], %t;
    {}
    xor.b32 %n, %t, 63; mov.u32 %s, word; mad.lo.u32 %s, %n, 4, %s; ld.shared.u32 %r, [%s];
"""


@pytest.mark.parametrize("barrier", ["bar.sync 0;", "barrier.sync 3;", "bar.sync 1, 64;"])
def test_barriers(barrier: str) -> None:
    options = {"registers": ".shared .b32 word[64];", "block": 64, "count": 128}
    assert run(BARRIER.format(barrier), **options) == [63 - t for t in range(64)] * 2
    with pytest.raises(EmulatorFault, match="race in shared memory"):
        run(BARRIER.format(""), **options)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            "setp.lt.u32 %p, %t, 40; @%p ret; bar.sync 0;",
            r"thread \(0, 0, 0\) has ended and 39 more; block \(0, 0, 0\), thread \(40, 0, 0\)",
        ),
        (
            "setp.lt.u32 %p, %t, 40; @%p bra L; bar.sync 0; bra M; L: bar.sync 0; M:",
            r"waits at PTX line \d+ and",
        ),
        ("bar.sync 1, 96;", "it waits for more threads"),
    ],
)
def test_divergent_barriers(body: str, detail: str) -> None:
    with pytest.raises(EmulatorFault, match=f"divergent barrier: .*{detail}"):
        run(body, block=64)


def test_blocks_that_wait_at_different_barriers_do_not_meet() -> None:
    odd = "and.b32 %s, %c, 1; setp.eq.u32 %p, %s, 0; @%p bra L; bar.sync 0;"
    body = odd + " L: bar.sync 0; mov.u32 %r, 1;"
    assert run(body, count=256) == [1] * 256
    assert run("setp.eq.u32 %p, %c, 1; @%p ret; bar.sync 0; mov.u32 %r, 1;")[::32] == [1, 0]


def test_an_endless_loop_ends() -> None:
    with pytest.raises(EmulatorFault, match="no end after 5000 instructions: an endless loop"):
        run("L: bra L;", budget=5000)


def test_a_trap_is_a_fault() -> None:
    with pytest.raises(EmulatorFault, match=r"trap; block \(0, 0, 0\), thread \(7, 0, 0\)"):
        run("setp.eq.u32 %p, %t, 7; @%p trap;")


def test_calls() -> None:
    outside = """.func (.param .b32 out) twice(.param .b32 in)
    { .reg .b32 %r<2>; .reg .pred %p;
      ld.param.u32 %r1, [in]; setp.lt.u32 %p, %r1, 4; @%p bra END;
      add.u32 %r1, %r1, %r1;
    END: st.param.b32 [out+0], %r1; ret; }"""
    call = """{{ .param .b32 a; .param .b32 b; st.param.b32 [a+0], {0};
        call.uni (b), twice, (a); ld.param.b32 {1}, [b+0]; }}"""
    body = call.format("%t", "%s") + call.format("%s", "%r")
    assert run(body, outside=outside)[:6] == [0, 1, 2, 3, 16, 20]


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    letters = ", ".join(str(letter) for letter in b"t %d: %.1f%%\n\0")
    outside = f""".global .align 1 .b8 form[14] = {{{letters}}};
    .extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);"""
    body = """
        mov.u64 %a, form; cvta.global.u64 %a, %a;
        mov.u64 %b, room; st.local.u32 [%b], %t; st.local.f64 [%b+8], 0d3FF8000000000000;
        cvta.local.u64 %b, %b;
        { .param .b64 a; .param .b64 b; .param .b32 r;
          st.param.b64 [a+0], %a; st.param.b64 [b+0], %b;
          call.uni (r), vprintf, (a, b); ld.param.b32 %s, [r+0]; }
    """
    registers = ".reg .b64 %a, %b; .local .align 8 .b8 room[16];"
    run(body, count=3, block=3, registers=registers, outside=outside)
    assert capsys.readouterr().out == "t 0: 1.5%\nt 1: 1.5%\nt 2: 1.5%\n"


@pytest.mark.parametrize(
    "instruction",
    [
        "wgmma.fence.sync.aligned;",
        "add.f16x2 %r, %r, %r;",
        "fma.rz.f64 %f, %f, %f, %f;",
        "sub.foo %r;",
    ],
)
def test_an_unknown_instruction_is_shown_with_its_line(instruction: str) -> None:
    with pytest.raises(
        KernelError,
        match=rf"kernel k: the emulator does not know this.*PTX line \d+: {instruction[:7]}",
    ):
        run(instruction, registers=".reg .f64 %f;")


def test_launches_that_no_gpu_could_do() -> None:
    bench = Bench(text(""))
    out = np.zeros(32, np.int32)
    with pytest.raises(KernelError, match="a block of 2048 threads, 1024 are the most"):
        bench.run(out, block=2048)
    with pytest.raises(KernelError, match="300000 bytes of shared memory"):
        bench.run(out, shared=300_000)
    with pytest.raises(KernelError, match=r"grid \(0, 1, 1\)"):
        bench.run(out, grid=0)
    with pytest.raises(ValueError, match="has 1 parameters, 2 values are given"):
        bench.run(out, 5)
