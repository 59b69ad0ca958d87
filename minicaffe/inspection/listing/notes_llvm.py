"""What an instruction of LLVM's intermediate code does, in a sentence.

The full account is "LLVM Language Reference Manual". Values have names that begin with %, and each
is written once.
"""

from __future__ import annotations

import re

_SENTENCES = {
    "fadd": "Adds numbers.",
    "fsub": "Subtracts numbers.",
    "fmul": "Multiplies numbers; with `contract` an addition that follows may join it.",
    "fdiv": "Divides numbers.",
    "fneg": "The number with the other sign.",
    "frem": "The rest of a division.",
    "fcmp": "Compares numbers: o.. is false and u.. true where one is NaN.",
    "icmp": "Compares integers or addresses.",
    "add": "Adds integers; nsw and nuw say that there is no overflow.",
    "sub": "Subtracts integers.",
    "mul": "Multiplies integers.",
    "udiv": "Divides natural numbers.",
    "sdiv": "Divides integers, towards 0.",
    "urem": "The rest of a division of natural numbers.",
    "srem": "The rest of a division of integers.",
    "and": "Both: bit by bit.",
    "or": "One or both: bit by bit.",
    "xor": "One of the two, not both: bit by bit.",
    "shl": "Moves bits to the left.",
    "lshr": "Moves bits to the right; zeros come in.",
    "ashr": "Moves bits to the right; the sign stays.",
    "select": "One of two values, by a condition: a choice without a jump.",
    "phi": "The value that belongs to the block from which one comes.",
    "br": "Goes to a block, or to one of two by a condition.",
    "switch": "Goes to a block by a number.",
    "ret": "Ends the function; 0 means that all is well.",
    "unreachable": "Nothing comes here.",
    "load": "Reads from memory.",
    "store": "Writes into memory.",
    "alloca": "Room on the stack.",
    "getelementptr": "The address of an element: nothing is read.",
    "bitcast": "The same bits as another type.",
    "addrspacecast": "The same place as an address of another kind.",
    "ptrtoint": "An address as a number.",
    "inttoptr": "A number as an address.",
    "sext": "An integer of more bits; the sign stays.",
    "zext": "An integer of more bits; zeros are put before it.",
    "trunc": "The lower bits of an integer.",
    "fpext": "A number of a wider floating-point type.",
    "fptrunc": "A number of a narrower floating-point type.",
    "sitofp": "An integer as a floating-point number.",
    "uitofp": "A natural number as a floating-point number.",
    "fptosi": "A floating-point number as an integer, towards 0.",
    "fptoui": "A floating-point number as a natural number, towards 0.",
    "extractelement": "One number of a vector.",
    "insertelement": "The vector with one number replaced.",
    "shufflevector": "Numbers of two vectors in another order; with zeros: the same in all lanes.",
    "extractvalue": "A part of a structure.",
    "insertvalue": "The structure with one part replaced.",
    "freeze": "Some value in place of an undefined one.",
    "atomicrmw": "Changes a number in memory as one step.",
    "cmpxchg": "Replaces a number in memory if it is the expected one, as one step.",
    "fence": "What was written before is seen by others before what is written after.",
    "invoke": "Calls a function.",
    "call": "Calls a function.",
}
_INTRINSICS = {
    "fma": "Multiplies and adds, rounded once.",
    "fmuladd": "Multiplies and adds, rounded once where that is faster.",
    "masked.load": "Reads those lanes from memory for which a mask says so.",
    "masked.store": "Writes those lanes into memory for which a mask says so.",
    "masked.gather": "Reads each lane from an address of its own.",
    "masked.scatter": "Writes each lane to an address of its own.",
    "memcpy": "Copies bytes.",
    "memmove": "Copies bytes that may overlap.",
    "memset": "Fills bytes with a value.",
    "vector.reduce": "Sums (or compares) the lanes of a vector.",
    "maxnum": "The larger number.",
    "minnum": "The smaller number.",
    "maximum": "The larger number; NaN if one is.",
    "minimum": "The smaller number; NaN if one is.",
    "smax": "The larger integer.",
    "smin": "The smaller integer.",
    "umax": "The larger natural number.",
    "umin": "The smaller natural number.",
    "fabs": "The number without its sign.",
    "copysign": "A number with the sign of another.",
    "sqrt": "The square root.",
    "exp": "The exponential.",
    "log": "The logarithm.",
    "sin": "The sine.",
    "cos": "The cosine.",
    "pow": "A power.",
    "floor": "Rounds down.",
    "ceil": "Rounds up.",
    "rint": "Rounds to the nearest whole number.",
    "nearbyint": "Rounds to the nearest whole number.",
    "roundeven": "Rounds to the nearest whole number, halves to the even one.",
    "trunc": "Rounds towards 0.",
    "ctpop": "How many bits are set.",
    "ctlz": "How many zeros stand before the highest bit.",
    "cttz": "How many zeros stand after the lowest bit.",
    "abs": "The integer without its sign.",
    "fshl": "Moves the bits of two numbers to the left.",
    "assume": "Tells the compiler what holds.",
    "prefetch": "Asks for memory to be brought into the cache.",
    "lifetime": "From here, or to here, a place of the stack is in use.",
    "experimental.noalias": "Tells the compiler which addresses differ.",
    "x86.sse.stmxcsr": "Keeps how the processor rounds and what it does with denormals.",
    "x86.sse.ldmxcsr": "Sets how the processor rounds, and whether denormals are 0.",
    "aarch64.get.fpcr": "Keeps how the processor rounds and what it does with denormals.",
    "aarch64.set.fpcr": "Sets how the processor rounds, and whether denormals are 0.",
    "usub.sat": "Subtracts natural numbers; 0 at least.",
    "uadd.sat": "Adds natural numbers; the largest at most.",
    "ssub.sat": "Subtracts integers, without an overflow.",
    "sadd.sat": "Adds integers, without an overflow.",
    "with.overflow": "The result, and whether it overflowed.",
    "is.fpclass": "Whether a number is NaN, infinite and so on.",
    "x86": "An instruction of the processor by its name.",
    "aarch64": "An instruction of the processor by its name.",
}


def note(root: str, words: str) -> str:
    """A sentence for an instruction, by its first word and its text; "" for an unknown one."""
    called = re.search(r"@llvm\.([\w.]+)", words) if root == "call" else None
    if called:
        sentence = next(
            (each for name, each in _INTRINSICS.items() if called[1].startswith(name)), ""
        ) or (_INTRINSICS["with.overflow"] if "with.overflow" in called[1] else "")
    else:
        sentence = _SENTENCES.get(root, "")
    lanes = re.search(r"<(\d+) x (float|double|i\d+)>", words)
    if sentence and lanes and root not in ("phi", "ret", "br", "extractelement"):
        kind = {"float": "float32", "double": "float64"}.get(lanes[2], f"integers ({lanes[2]})")
        sentence = f"{sentence[:-1]}: {lanes[1]} {kind} at once."
    return sentence
