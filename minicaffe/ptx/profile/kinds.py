"""What kind an instruction is of, and how many floating-point operations a thread does with it."""

from ..instruction import Instruction

_FLOATS = ("f16", "f32", "f64")
_SPECIAL = {"ex2", "lg2", "sin", "cos", "tanh", "rsqrt", "rcp", "sqrt", "div"}
_BY_OPCODE = {
    "mma": "tensor core",
    "shfl": "warp",
    "vote": "warp",
    "match": "warp",
    "redux": "warp",
    "activemask": "warp",
    "bar": "barrier",
    "barrier": "barrier",
    "bra": "branch",
    "ret": "branch",
    "exit": "branch",
    "setp": "compare, select",
    "set": "compare, select",
    "selp": "compare, select",
    "slct": "compare, select",
    "min": "compare, select",
    "max": "compare, select",
    "cvt": "convert",
    "atom": "atomic",
    "red": "atomic",
    "cp": "asynchronous copy",
}
KINDS = (
    "tensor core", "float32 multiply-add", "float32", "float64", "special function",
    "integer 32 bits", "integer 64 bits", "convert", "compare, select", "branch",
    "global load", "global store", "shared load", "shared store", "local memory",
    "asynchronous copy", "atomic", "warp", "barrier", "other",
)  # fmt: skip


def kind_of(instruction: Instruction) -> str:
    """One of KINDS."""
    opcode, of = instruction.opcode, instruction.type
    if opcode in ("ld", "ldu", "st"):
        return _memory(instruction)
    if opcode in _BY_OPCODE:
        return _BY_OPCODE[opcode]
    if opcode == "fma" and of == "f32":
        return "float32 multiply-add"
    if of in _FLOATS and opcode in _SPECIAL:
        return "special function"
    if of in _FLOATS and opcode != "mov":
        return "float64" if of == "f64" else "float32"
    if opcode in ("mov", "cvta", "membar", "fence") or not of or of == "pred":
        return "other"
    return "integer 64 bits" if of.endswith("64") else "integer 32 bits"


def _memory(instruction: Instruction) -> str:
    space = instruction.space
    if space in ("param", "const"):
        return "other"
    if space == "local":
        return "local memory"
    where = "shared" if space == "shared" else "global"
    return f"{where} {'store' if instruction.opcode == 'st' else 'load'}"


def flops_of(instruction: Instruction) -> float:
    """Floating-point operations of a thread; a multiplication and addition in one are two."""
    if instruction.opcode == "mma":  # of 16 x 8 results, with k of the shape, by 32 threads
        shape = next((word for word in instruction.modifiers if word.startswith("m16n8k")), "")
        return 2 * 16 * 8 * int(shape[6:] or 0) / 32
    if instruction.type not in _FLOATS:
        return 0
    if instruction.opcode == "fma":
        return 2
    return 1 if instruction.opcode in ("add", "sub", "mul", "div", "sqrt", "rcp", "rsqrt") else 0
