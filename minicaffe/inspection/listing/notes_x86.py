"""What an instruction of x86 does, in a sentence; the first operand is where the result goes.

The full account is Intel's "Software Developer's Manual", volume 2. What is told of vectors is in
notes_x86_vector.py.
"""

from __future__ import annotations

import re

from .notes_x86_vector import vector_note

_CONDITIONS = {
    "e": "equal", "z": "equal", "ne": "different", "nz": "different",
    "l": "less", "le": "less or equal", "g": "greater", "ge": "greater or equal",
    "b": "below (as natural numbers)", "c": "below (as natural numbers)",
    "be": "below or equal (as natural numbers)", "a": "above (as natural numbers)",
    "ae": "above or equal (as natural numbers)", "nc": "above or equal (as natural numbers)",
    "s": "negative", "ns": "not negative", "o": "an overflow", "no": "no overflow",
    "p": "one of them NaN", "np": "none of them NaN", "po": "none of them NaN",
}  # fmt: skip
_CONDITION = "|".join(sorted(_CONDITIONS, key=len, reverse=True))
_SENTENCES = {
    "mov": "Copies a number.",
    "movabs": "Puts a constant, or an address, of 64 bits into a register.",
    "movzx": "Copies a number and puts zeros before it.",
    "movsx": "Copies a number to more bits; the sign stays.",
    "movsxd": "Copies a number of 32 bits to 64; the sign stays.",
    "movbe": "Copies a number with its bytes in the opposite order.",
    "lea": "Computes an address, or a sum that looks like one: nothing is read.",
    "add": "Adds.",
    "adc": "Adds, with the carry of the addition before.",
    "sub": "Subtracts.",
    "sbb": "Subtracts, with the borrow of the subtraction before.",
    "inc": "Adds 1.",
    "dec": "Subtracts 1.",
    "neg": "Changes the sign.",
    "imul": "Multiplies integers.",
    "mul": "Multiplies natural numbers; the product has twice the bits, in rdx and rax.",
    "mulx": "Multiplies natural numbers; the product has twice the bits.",
    "div": "Divides the natural number in rdx and rax; the rest comes into rdx. It takes long.",
    "idiv": "Divides the integer in rdx and rax; the rest comes into rdx. It takes long.",
    "cqo": "Fills rdx with the sign of rax, before a division.",
    "cdq": "Fills edx with the sign of eax, before a division.",
    "cdqe": "Makes the number of 32 bits in eax one of 64; the sign stays.",
    "cwde": "Makes the number of 16 bits in ax one of 32; the sign stays.",
    "not": "The other: bit by bit.",
    "and": "Both: bit by bit.",
    "andn": "The second but not the first: bit by bit.",
    "or": "One or both: bit by bit.",
    "xor": "One of the two, not both: bit by bit.",
    "shl": "Moves bits to the left: a product with a power of two.",
    "shlx": "Moves bits to the left: a product with a power of two.",
    "sal": "Moves bits to the left: a product with a power of two.",
    "shr": "Moves bits to the right; zeros come in.",
    "shrx": "Moves bits to the right; zeros come in.",
    "sar": "Moves bits to the right; the sign stays: a division by a power of two, rounded down.",
    "sarx": "Moves bits to the right; the sign stays.",
    "shld": "Moves bits to the left; those of another register come in.",
    "shrd": "Moves bits to the right; those of another register come in.",
    "rol": "Turns bits to the left: what leaves comes in again.",
    "ror": "Turns bits to the right: what leaves comes in again.",
    "rorx": "Turns bits to the right: what leaves comes in again.",
    "bt": "Looks at one bit.",
    "bts": "Looks at one bit, and sets it.",
    "btr": "Looks at one bit, and clears it.",
    "btc": "Looks at one bit, and changes it.",
    "bextr": "Takes some bits out of a number.",
    "bzhi": "Clears the bits above a place.",
    "blsr": "Clears the lowest bit that is set.",
    "blsi": "Keeps the lowest bit that is set alone.",
    "blsmsk": "Sets the bits up to the lowest that is set.",
    "tzcnt": "How many zeros stand after the lowest bit that is set.",
    "lzcnt": "How many zeros stand before the highest bit that is set.",
    "bsf": "The place of the lowest bit that is set.",
    "bsr": "The place of the highest bit that is set.",
    "popcnt": "How many bits are set.",
    "pext": "Collects the bits that a mask names.",
    "pdep": "Puts bits to the places that a mask names.",
    "bswap": "The bytes in the opposite order.",
    "xchg": "Swaps two numbers.",
    "cmp": "Compares: what follows asks how.",
    "test": "Both, bit by bit, for what follows to ask: with itself, whether it is 0 or negative.",
    "jmp": "Jumps.",
    "call": "Calls a function.",
    "ret": "Ends the function.",
    "push": "Puts a register on the stack, to have it back at the end.",
    "pop": "Gets a register back from the stack.",
    "leave": "Gives up the function's place on the stack.",
    "nop": "Nothing: the next instruction begins at a good address.",
    "ud2": "Never comes here: the program would be stopped.",
    "int3": "Never comes here: the program would be stopped.",
    "endbr64": "Marks a place that may be jumped to.",
    "pause": "Waits a little, in a loop that waits for another thread.",
    "mfence": "What was written before is seen by others before what is read after.",
    "rep stosq": "Fills memory with a number.",
    "rep stosd": "Fills memory with a number.",
    "rep stosb": "Fills memory with a byte.",
    "rep movsq": "Copies memory, 8 bytes at a time.",
    "rep movsd": "Copies memory, 4 bytes at a time.",
    "rep movsb": "Copies memory.",
    "prefetcht0": "Asks for memory to be brought into all caches.",
    "prefetcht1": "Asks for memory to be brought into the second cache.",
    "prefetcht2": "Asks for memory to be brought into the third cache.",
    "prefetchnta": "Asks for memory that is read once to be brought into the first cache.",
    "prefetchw": "Asks for memory to be brought into the cache, to be written.",
    "vzeroupper": "Clears the upper halves of the vectors: code with short ones may follow.",
    "vzeroall": "Clears all vectors.",
    "stmxcsr": "Keeps how the processor rounds and what it does with denormals.",
    "ldmxcsr": "Sets how the processor rounds, and whether denormals are 0.",
}
_SCALAR = re.compile(
    r"v?(?:(?:mov|add|sub|mul|div|max|min|sqrt|cmp\w*|ucomi|comi|round|rcp\w*|rsqrt\w*|rndscale|"
    r"scalef|getexp|getmant|range|reduce|fixupimm|fn?m(?:add|sub)\d+)s[sd]|cvtt?s[sd]2u?s[isd]|"
    r"cvtu?si2s[sd]|mov[dq]|pextr[bwdq]|pinsr[bwdq]|extractps|insertps)"
)
# On short vectors these serve single numbers too: whether they do cannot be told from the text.
_EITHER = re.compile(
    r"v?(?:p?(?:and|andn|or|xor)(?:ps|pd|[dq])?|mova(?:ps|pd)|movdqa\d*|blendv?p[sd])"
)


def is_vector(mnemonic: str, operands: tuple[str, ...]) -> bool:
    """Whether an instruction works on several numbers at once."""
    text = " ".join(operands)
    if re.match(r"\{?v\d+\.", text):  # ARM
        return True
    if not re.search(r"\b[xyz]mm", text) or _SCALAR.fullmatch(mnemonic):
        return False
    return bool(re.search(r"\b[yz]mm", text)) or not _EITHER.fullmatch(mnemonic)


def note(mnemonic: str, operands: tuple[str, ...]) -> str:
    """A sentence for an instruction; "" for one that is not known."""
    if mnemonic in ("xor", "vxorps", "vxorpd", "vpxor", "vpxord", "xorps", "pxor", "vpxorq", "sub"):
        sources = operands[1:] if mnemonic.startswith("v") else operands
        if len(set(sources)) == 1 and len(sources) == 2:
            return f"Makes {operands[0]} 0."
    if mnemonic == "mov" and len(operands) == 2:
        return _moved(*operands)
    known = _SENTENCES.get(mnemonic) or _SENTENCES.get(mnemonic.removeprefix("v"))
    if known:
        return known
    if mnemonic.startswith("lock "):
        return f"{note(mnemonic[5:], operands)[:-1]}, as one step, whatever other threads do."
    conditional = re.fullmatch(rf"(j|set|cmov)({_CONDITION})", mnemonic)
    if conditional:
        does = {
            "j": "Jumps if the comparison before says",
            "set": "1 if the comparison before says",
            "cmov": "Copies if the comparison before says",
        }[conditional[1]]
        return f"{does}: {_CONDITIONS[conditional[2]]}."
    return vector_note(mnemonic, operands)


def _moved(to: str, of: str) -> str:
    if "[" in to:
        return "Writes a number into memory."
    if "[" in of:
        return "Reads a number from memory."
    if re.fullmatch(r"-?(?:0x)?[0-9a-f]+", of):
        return f"Puts {of} into {to}."
    return f"Copies {of} to {to}."
