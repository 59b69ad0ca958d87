"""What the profiler counts are the figures of textbooks; occupancy as NVIDIA computes it."""

import numpy as np
import pytest

from minicaffe.ptx.checked import watching
from minicaffe.ptx.profile import GPUS, Profiler, Report
from minicaffe.ptx.profile.counters import Counters
from minicaffe.ptx.profile.ptxas import find_ptxas
from tests.ptx.launching import Bench, kernel_text

COPY = """
    ld.param.u64 %a, [x]; ld.param.u64 %b, [y];
    mul.lo.u32 %r, %g, {stride}; add.u32 %r, %r, {offset};
    mad.wide.u32 %a, %r, 4, %a; ld.global.f32 %f, [%a];
    mad.wide.u32 %b, %g, 4, %b; st.global.f32 [%b], %f;
"""


def counted(text: str, *arguments: object, **options: object) -> Counters:
    profiler = Profiler()
    with watching(profiler.begin):
        Bench(text).run(*arguments, **options)  # type: ignore[arg-type]
    (counters,) = profiler.counters
    return counters


@pytest.mark.parametrize(
    ("stride", "offset", "sectors"),
    [(1, 0, 4), (1, 1, 5), (2, 0, 8), (4, 0, 16), (8, 0, 32), (32, 0, 32), (0, 0, 1)],
)
def test_sectors_of_a_warp(stride: int, offset: int, sectors: int) -> None:
    text = kernel_text(
        ".param .u64 x, .param .u64 y",
        ".reg .b64 %a, %b; .reg .b32 %r; .reg .f32 %f;",
        COPY.format(stride=stride, offset=offset),
    )
    counters = counted(
        text, np.zeros(128 * max(stride, 1) + 1, np.float32), np.zeros(128, np.float32), grid=4
    )
    load = next(
        at
        for at, each in enumerate(counters.kernel.instructions)
        if each.opcode == "ld" and each.space == "global"
    )
    assert counters.requests[load] == 4
    assert counters.sectors[load] == 4 * sectors
    assert counters.ideal[load] == 4 * (4 if stride else 1)
    assert counters.asked[load] == 4 * 128


@pytest.mark.parametrize(
    ("stride", "passes"),
    [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (33, 1), (3, 1), (0, 1)],
)
@pytest.mark.parametrize("wide", [1, 2, 4])
def test_passes_of_shared_memory(stride: int, passes: int, wide: int) -> None:
    """Strides in words; accesses of 8 and 16 bytes go by half and quarter warps."""
    numbers = "%f" if wide == 1 else "{" + ", ".join(["%f"] * wide) + "}"
    vector = "" if wide == 1 else f".v{wide}"
    text = kernel_text(
        "",
        f".reg .b32 %r; .reg .f32 %f; .shared .align 16 .b8 s[{4 * wide * 33 * 32}];",
        f"""
        mov.f32 %f, 0f00000000;
        mul.lo.u32 %r, %t, {4 * wide * stride};
        st.shared{vector}.f32 [%r], {numbers};
        """,
    ).replace("mov.f32 %f", "mov.u32 %r, s; mov.f32 %f")
    counters = counted(text, block=32, grid=3)
    assert counters.parts.sum() == 3 * wide
    if wide == 1:
        assert counters.passes.sum() == 3 * passes


def test_lanes_and_kinds_of_instructions() -> None:
    text = kernel_text(
        ".param .u64 x",
        ".reg .b64 %a; .reg .f32 %f; .reg .pred %p;",
        """
        ld.param.u64 %a, [x];
        setp.ge.u32 %p, %t, 8; @%p bra L;
        mad.wide.u32 %a, %g, 4, %a; ld.global.f32 %f, [%a];
        fma.rn.f32 %f, %f, %f, %f; fma.rn.f32 %f, %f, %f, %f; add.f32 %f, %f, %f;
        st.global.f32 [%a], %f;
    L:
        """,
    )
    counters = counted(text, np.ones(64, np.float32), grid=2)
    report = Report(counters, GPUS["a100"])
    assert counters.threads == 64 and counters.launches == 1
    assert counters.flops == 16 * 5
    assert counters.footprint == 2 * 32  # eight numbers of each block
    assert report.instructions["float32 multiply-add"] == 2 * 16 / 64
    assert report.instructions["branch"] == 2
    assert report.intensity == 80 / 64
    assert counters.lanes_used == pytest.approx((8 * 64 + 6 * 16) / (32 * 2 * 14), abs=1e-9)
    assert report.least[1] == "memory"


def test_a_tensor_core_does_4096_operations_for_a_warp() -> None:
    from minicaffe.ptx.instruction import Instruction
    from minicaffe.ptx.profile.kinds import flops_of, kind_of

    mma = Instruction(
        "mma", ("sync", "aligned", "m16n8k8", "row", "col", "f32", "tf32", "tf32", "f32"), ()
    )
    assert 32 * flops_of(mma) == 2 * 16 * 8 * 8
    assert kind_of(mma) == "tensor core"


@pytest.mark.parametrize(
    ("gpu", "threads", "registers", "shared", "expected"),
    [
        ("a100", 256, 32, 0, (8, 1.0, "warps")),
        ("a100", 256, 64, 0, (4, 0.5, "registers")),
        ("a100", 256, 32, 48 << 10, (3, 0.375, "shared memory")),
        ("a100", 32, 16, 0, (32, 0.5, "blocks")),
        ("rtx3090", 1024, 32, 0, (1, 32 / 48, "warps")),
        ("h100", 128, 255, 0, (2, 0.125, "registers")),
    ],
)
def test_occupancy(gpu: str, threads: int, registers: int, shared: int, expected: object) -> None:
    assert GPUS[gpu].occupancy(threads, registers, shared) == expected


def test_registers_come_from_the_assembler() -> None:
    if find_ptxas() is None:
        pytest.skip("there is no ptxas: pip install 'minicaffe[cuda-emu]'")
    text = kernel_text(".param .u64 x", "", "")
    report = Report(counted(text, np.zeros(32, np.float32)), GPUS["a100"])
    assert report.assembled is not None and 1 <= report.assembled.registers <= 32
    assert report.occupancy is not None
