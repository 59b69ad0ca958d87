"""What an instruction of PTX does, in a sentence: what a thread does with it.

The full account is NVIDIA's "Parallel Thread Execution ISA".
"""

from __future__ import annotations

import re

_TYPES = {
    "pred": "truth value", "b8": "byte", "u8": "byte", "s8": "signed byte",
    "b16": "16 bits", "u16": "natural number of 16 bits", "s16": "integer of 16 bits",
    "b32": "32 bits", "u32": "natural number of 32 bits", "s32": "integer of 32 bits",
    "b64": "64 bits", "u64": "natural number of 64 bits", "s64": "integer of 64 bits",
    "f16": "float16", "bf16": "bfloat16", "tf32": "tf32", "f32": "float32", "f64": "float64",
}  # fmt: skip
_SPACES = {
    "global": "the GPU's memory", "shared": "the block's shared memory",
    "local": "memory of this thread alone, for what found no room in registers",
    "const": "constant memory", "param": "the kernel's arguments",
}  # fmt: skip
_COMPARED = {
    "eq": "equal", "ne": "different", "lt": "less", "le": "less or equal", "gt": "greater",
    "ge": "greater or equal", "lo": "less", "ls": "less or equal", "hi": "greater",
    "hs": "greater or equal", "equ": "equal, or one is NaN", "neu": "different, or one is NaN",
    "ltu": "less, or one is NaN", "leu": "less or equal, or one is NaN",
    "gtu": "greater, or one is NaN", "geu": "greater or equal, or one is NaN",
    "num": "both no NaN", "nan": "one of them NaN",
}  # fmt: skip
_SPECIAL = {
    "%tid": "the number of this thread in its block",
    "%ctaid": "the number of this block in the grid",
    "%ntid": "how many threads a block has",
    "%nctaid": "how many blocks the grid has",
    "%laneid": "the number of this thread in its warp",
    "%warpid": "the number of this warp in its block",
}
# By the opcode, with the modifiers that change it; {type} is that of the numbers.
_SENTENCES = {
    "add": "Adds two numbers ({type}).",
    "addc": "Adds two numbers ({type}) and the carry of the addition before.",
    "sub": "Subtracts the second number from the first ({type}).",
    "subc": "Subtracts, with the borrow of the subtraction before ({type}).",
    "mul": "Multiplies two numbers ({type}).",
    "mul.wide": "Multiplies two numbers of 32 bits; the product has 64.",
    "mul.hi": "The upper half of the product of two numbers ({type}).",
    "mad": "Multiplies two numbers and adds a third ({type}).",
    "mad.wide": "Multiplies two numbers of 32 bits and adds a third to the product of 64 bits.",
    "mad.hi": "Adds a third number to the upper half of a product ({type}).",
    "fma": "Multiplies two numbers and adds a third, rounded once ({type}).",
    "div": "Divides the first number by the second ({type}).",
    "div.full": "Divides, with an error of at most two units in the last place ({type}).",
    "rem": "The rest of a division ({type}).",
    "abs": "The number without its sign ({type}).",
    "neg": "The number with the other sign ({type}).",
    "min": "The smaller of two numbers ({type}).",
    "max": "The larger of two numbers ({type}).",
    "sqrt": "The square root ({type}).",
    "rsqrt": "1 divided by the square root, nearly ({type}).",
    "rcp": "1 divided by the number ({type}).",
    "ex2": "2 to the power of the number, nearly ({type}).",
    "lg2": "The logarithm to base 2, nearly ({type}).",
    "sin": "The sine, nearly ({type}).",
    "cos": "The cosine, nearly ({type}).",
    "tanh": "The hyperbolic tangent, nearly ({type}).",
    "copysign": "One number with the sign of the other ({type}).",
    "testp": "Whether a number is finite, infinite, NaN and so on ({type}).",
    "mov": "Copies a value, or the address of a variable.",
    "cvta": "Turns an address within a space of memory into one of all memory, or back.",
    "cvt": "Turns a number into another type.",
    "selp": "One of two values, by a truth value: a choice without a jump.",
    "slct": "One of two values, by the sign of a third.",
    "and": "Both: bit by bit.",
    "or": "One or both: bit by bit.",
    "xor": "One of the two, not both: bit by bit.",
    "not": "The other: bit by bit.",
    "cnot": "1 where the number is 0, else 0.",
    "lop3": "Any function of three bits, bit by bit; the last number is its table.",
    "shl": "Moves the bits to the left: a product with a power of two.",
    "shr": "Moves the bits to the right: a division by a power of two, rounded down.",
    "shf": "Moves the bits of two words of 32 as one of 64.",
    "bfe": "Takes some bits out of a number.",
    "bfi": "Puts some bits into a number.",
    "bfind": "The place of the highest bit.",
    "clz": "How many zeros stand before the highest bit.",
    "popc": "How many bits are set.",
    "brev": "The bits in the opposite order.",
    "prmt": "Four bytes of two words, in any order.",
    "bra": "Jumps.",
    "brx": "Jumps to one of several places, by a number.",
    "ret": "Ends the function.",
    "exit": "Ends the thread.",
    "trap": "Stops the kernel with a fault.",
    "call": "Calls a function.",
    "bar": "Waits until all threads of the block are here.",
    "bar.warp": "Waits until the threads of the warp are here.",
    "barrier": "Waits until all threads of the block are here.",
    "membar": "What was written before is seen by others before what is written after.",
    "fence": "What was written before is seen by others before what is written after.",
    "shfl": "Gets a number from another thread of the warp, without memory.",
    "vote": "Asks all threads of the warp something: a bit each, or whether any, or whether all.",
    "match": "Which threads of the warp have the same number.",
    "redux": "Sums a number over the threads of the warp.",
    "activemask": "Which threads of the warp are here: a bit each.",
    "atom": "Changes a number in memory as one step, whoever else does; gives what was there.",
    "red": "Changes a number in memory as one step, whoever else does.",
    "cp.async": "Begins to copy from the GPU's memory to the block's shared memory, in the"
    " background.",
    "cp.async.commit_group": "Makes a group of the copies begun before.",
    "cp.async.wait_group": "Waits until at most so many groups of copies are still under way.",
    "cp.async.wait_all": "Waits until all copies are there.",
    "mma": "Multiplies two small matrices on a tensor core and adds a third; the warp's threads"
    " hold the numbers together.",
    "ldmatrix": "Loads small matrices from shared memory as tensor cores want them.",
    "prefetch": "Asks for memory to be brought into the cache.",
    "nanosleep": "Waits some nanoseconds.",
    "pragma": "A hint to the assembler.",
}  # fmt: skip


def note(mnemonic: str, operands: str, condition: str = "") -> str:
    """A sentence for an instruction; "" for one that is not known."""
    sentence = _sentence(mnemonic, operands)
    if condition and sentence:
        negated = condition.startswith("@!")
        register = condition.lstrip("@!")
        only = f"Only where {register} is {'false' if negated else 'true'}: "
        sentence = only + sentence[0].lower() + sentence[1:]
    return sentence


def _sentence(mnemonic: str, operands: str) -> str:
    root, *modifiers = mnemonic.replace("::", "_").split(".")
    kind = next((_TYPES[word] for word in reversed(modifiers) if word in _TYPES), "")
    if root in ("ld", "ldu", "st"):
        return _memory(root, modifiers, kind)
    if root in ("setp", "set"):
        how = next((_COMPARED[word] for word in modifiers if word in _COMPARED), "")
        return f"Compares two numbers ({kind}): {how}?"
    special = re.search(r"(%\w+)\.?([xyz]?)$", operands)
    if root == "mov" and special and special[1] in _SPECIAL:
        along = f", along {special[2]}" if special[2] else ""
        return f"Reads {_SPECIAL[special[1]]}{along}."
    if root == "cvt":
        types = [_TYPES[word] for word in modifiers if word in _TYPES]
        if len(types) == 2:
            return f"Turns a {types[1]} into a {types[0]}."
    for length in range(len(modifiers), -1, -1):
        found = _SENTENCES.get(".".join([root, *modifiers[:length]]))
        if found:
            return found.format(type=kind).replace(" ()", "")
    return ""


def _memory(root: str, modifiers: list[str], kind: str) -> str:
    space = next((word.partition("_")[0] for word in modifiers
                  if word.partition("_")[0] in _SPACES), "")  # fmt: skip
    count = {"v2": "2 numbers", "v4": "4 numbers", "v8": "8 numbers"}
    many = next((count[word] for word in modifiers if word in count), "")
    what = f"{many} ({kind})" if many else f"a {kind}" if not kind[0].isdigit() else kind
    where = _SPACES.get(space, "memory")
    if root == "st":
        return f"Writes {what} into {where}."
    return f"Reads {what} from {where}."
