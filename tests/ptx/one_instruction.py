"""A kernel around one instruction: d = op(a, b, c) in every thread, over arrays."""

from collections.abc import Sequence

import numpy as np

from minicaffe.ptx import Memory, parse
from tests.ptx.both_engines import launch

THREADS = 64
NAMES = "abce"

_REGISTER = {1: "b16", 2: "b16", 4: "b32", 8: "b64"}


def type_of(dtype: np.dtype) -> str:
    """The PTX type of memory with such numbers."""
    return f"{'f' if dtype.kind == 'f' else 's' if dtype.kind == 'i' else 'u'}{8 * dtype.itemsize}"


def register_of(dtype: np.dtype) -> str:
    if dtype.kind == "b":
        return "pred"
    if dtype.kind == "f" and dtype.itemsize > 2:
        return type_of(dtype)
    return _REGISTER[dtype.itemsize]


def kernel_text(body: str, inputs: Sequence[np.dtype], outputs: Sequence[np.dtype]) -> str:
    """Registers a, b, c, e are inputs; d, d1 ... are outputs; i is the number of the thread."""
    names = ["d", *(f"d{k}" for k in range(1, len(outputs)))]
    pointers = [*(f"p_{name}" for name in NAMES[: len(inputs)]), *(f"p_{name}" for name in names)]
    lines = [
        ".version 8.0",
        ".target sm_80",
        ".address_size 64",
        ".visible .entry one(" + ", ".join(f".param .u64 {each}" for each in pointers) + ")",
        "{",
        ".reg .b32 i, n, k; .reg .b64 at, step; .reg .b16 flag;",
    ]
    for name, dtype in [*zip(NAMES, inputs, strict=False), *zip(names, outputs, strict=True)]:
        lines.append(f".reg .{register_of(dtype)} {name};")
    lines += ["mov.u32 i, %tid.x;", "mov.u32 n, %ntid.x;", "mov.u32 k, %ctaid.x;"]
    lines.append("mad.lo.u32 i, k, n, i;")

    def place(name: str, dtype: np.dtype) -> list[str]:
        return [
            f"ld.param.u64 at, [p_{name}];",
            f"mul.wide.u32 step, i, {dtype.itemsize};",
            "add.s64 at, at, step;",
        ]

    for name, dtype in zip(NAMES, inputs, strict=False):
        lines += place(name, dtype)
        if dtype.kind == "b":
            lines += ["ld.global.u8 flag, [at];", f"setp.ne.u16 {name}, flag, 0;"]
        else:
            lines.append(f"ld.global.{type_of(dtype).replace('f16', 'b16')} {name}, [at];")
    lines.append(body)
    for name, dtype in zip(names, outputs, strict=True):
        lines += place(name, dtype)
        if dtype.kind == "b":
            lines += [f"selp.u16 flag, 1, 0, {name};", "st.global.u8 [at], flag;"]
        else:
            lines.append(f"st.global.{type_of(dtype).replace('f16', 'b16')} [at], {name};")
    return "\n".join([*lines, "ret;", "}"])


def execute(
    body: str, inputs: Sequence[np.ndarray], outputs: Sequence[str] | str, **options: object
) -> list[np.ndarray]:
    """What the threads get, one for each element; the inputs are of one size."""
    types = [np.dtype(each) for each in ([outputs] if isinstance(outputs, str) else outputs)]
    count = inputs[0].size
    padded = -(-count // THREADS) * THREADS
    memory = Memory()
    kernel = parse(kernel_text(body, [each.dtype for each in inputs], types)).kernel
    addresses = []
    for array in inputs:
        addresses.append(memory.allocate(padded * array.itemsize))
        memory.upload(addresses[-1], np.resize(array, padded))
    results = [np.zeros(padded, dtype) for dtype in types]
    for result in results:
        addresses.append(memory.allocate(result.nbytes))
    arguments = kernel.pack(addresses)
    grid = (padded // THREADS, 1, 1)
    launch(kernel, grid, (THREADS, 1, 1), 0, arguments, memory, **options)  # type: ignore[arg-type]
    for result, address in zip(results, addresses[len(inputs) :], strict=True):
        memory.download(address, result)
    return [result[:count] for result in results]


def one(instruction: str, *inputs: np.ndarray, result: str) -> np.ndarray:
    """The result of one instruction, written with registers d, a, b, c, e."""
    return execute(instruction + ";", inputs, result)[0]
