"""What instructions of x86 with vectors do, in a sentence: SSE, AVX, AVX2, FMA and AVX-512.

ps and pd are float32 and float64 in all lanes, ss and sd in the first one; a vector has 16 bytes
(xmm), 32 (ymm) or 64 (zmm). `{k1}` names a mask: the lanes that change.
"""

from __future__ import annotations

import re

_TYPES = {"s": "float32", "d": "float64", "h": "float16"}
_SIZES = {"b": 1, "w": 2, "d": 4, "q": 8, "s": 4, "h": 2}
_ARITHMETIC = {
    "add": "Adds {pairs}.",
    "sub": "Subtracts {pairs}: the last operand from the one before.",
    "mul": "Multiplies {pairs}.",
    "div": "Divides {pairs}. It takes long.",
    "min": "The smaller of {pairs}; the second where one is NaN.",
    "max": "The larger of {pairs}; the second where one is NaN.",
    "sqrt": "The square root of {numbers}. It takes long.",
    "rcp": "1 divided by {numbers}, to 12 bits.",
    "rcp14": "1 divided by {numbers}, to 14 bits.",
    "rsqrt": "1 divided by the square root of {numbers}, to 12 bits.",
    "rsqrt14": "1 divided by the square root of {numbers}, to 14 bits.",
    "round": "Rounds {numbers} to whole ones.",
    "rndscale": "Rounds {numbers} to whole ones.",
    "scalef": "Multiplies {numbers} by powers of two.",
    "getexp": "The exponents of {numbers}.",
    "getmant": "The mantissas of {numbers}.",
    "hadd": "Adds neighbours: {numbers} become half as many sums.",
    "addsub": "Subtracts and adds {pairs} in turn.",
    "and": "Both, bit by bit: with a mask, {numbers} or 0.",
    "andn": "The second but not the first, bit by bit: with a mask, 0 or {numbers}.",
    "or": "One or both, bit by bit, of {numbers}.",
    "xor": "One of the two, not both, bit by bit: changes signs of {numbers}.",
    "blendv": "Chooses between {pairs} by the signs of a mask: a choice without a jump.",
    "blend": "Chooses between {pairs}, by a constant.",
    "blendm": "Chooses between {pairs} by a mask: a choice without a jump.",
    "unpckl": "Takes {numbers} in turn from the lower halves of two vectors.",
    "unpckh": "Takes {numbers} in turn from the upper halves of two vectors.",
    "shuf": "Takes {numbers} from two vectors, at places that a constant names.",
    "perm": "Puts {numbers} into another order.",
    "permil": "Puts {numbers} into another order, within each 16 bytes.",
    "permt2": "Takes {numbers} from two vectors in any order.",
    "permi2": "Takes {numbers} from two vectors in any order.",
    "movmsk": "The signs of {numbers} as bits of a register.",
    "movnt": "Writes {numbers} into memory past the caches.",
    "test": "Looks whether any sign of {numbers} is set.",
    "ucomi": "Compares two numbers: what follows asks how.",
    "comi": "Compares two numbers: what follows asks how.",
    "compress": "Puts {numbers} that a mask names side by side.",
    "expand": "Puts neighbours to the lanes that a mask names.",
    "fixupimm": "Replaces special values among {numbers}.",
    "movl": "Moves 8 bytes into, or out of, the lower half.",
    "movh": "Moves 8 bytes into, or out of, the upper half.",
    "movlh": "Moves the lower half of a vector into the upper half of another.",
    "movhl": "Moves the upper half of a vector into the lower half of another.",
}
_COMPARED = {
    "eq": "equal", "neq": "different", "lt": "less", "le": "less or equal", "gt": "greater",
    "ge": "greater or equal", "nlt": "not less", "nle": "not less or equal", "unord": "one is NaN",
    "ord": "none is NaN", "ngt": "not greater", "nge": "not greater or equal", "ne": "different",
    "false": "never", "true": "always",
}  # fmt: skip
_INTEGERS = {
    "padd": "Adds {pairs}.",
    "psub": "Subtracts {pairs}.",
    "pmull": "Multiplies {pairs}; the lower halves of the products.",
    "pmulh": "Multiplies {pairs}; the upper halves of the products.",
    "pmulud": "Multiplies natural numbers of 32 bits; the products have 64.",
    "pmuld": "Multiplies integers of 32 bits; the products have 64.",
    "pmulu": "Multiplies natural numbers of 32 bits; the products have 64.",
    "pabs": "{numbers} without their signs.",
    "pcmpeq": "Compares {pairs}: all bits set where they are equal.",
    "pcmpgt": "Compares {pairs}: all bits set where the first is greater.",
    "pcmp": "Compares {pairs} into a mask.",
    "pcmpu": "Compares {pairs} into a mask.",
    "pmaxs": "The larger of {pairs}.",
    "pmaxu": "The larger of {pairs}.",
    "pmins": "The smaller of {pairs}.",
    "pminu": "The smaller of {pairs}.",
    "psll": "Moves bits of {numbers} to the left.",
    "psllv": "Moves bits of {numbers} to the left, each by its own count.",
    "psrl": "Moves bits of {numbers} to the right; zeros come in.",
    "psrlv": "Moves bits of {numbers} to the right, each by its own count.",
    "psra": "Moves bits of {numbers} to the right; the signs stay.",
    "psrav": "Moves bits of {numbers} to the right, each by its own count; the signs stay.",
    "prol": "Turns bits of {numbers} to the left.",
    "pror": "Turns bits of {numbers} to the right.",
    "pand": "Both: bit by bit.",
    "pandn": "The second but not the first: bit by bit.",
    "por": "One or both: bit by bit.",
    "pxor": "One of the two, not both: bit by bit.",
    "pternlog": "Any function of three bits, bit by bit; the last number is its table.",
    "pbroadcast": "Puts one number into all lanes.",
    "pblend": "Chooses between {pairs}, by a constant.",
    "pblendm": "Chooses between {pairs} by a mask: a choice without a jump.",
    "pblendv": "Chooses between {pairs} by a mask: a choice without a jump.",
    "pshuf": "Puts {numbers} into another order.",
    "perm": "Puts {numbers} into another order.",
    "permt2": "Takes {numbers} from two vectors in any order.",
    "permi2": "Takes {numbers} from two vectors in any order.",
    "pextr": "Takes one number out of a vector.",
    "pinsr": "Puts one number into a vector.",
    "pmaskmov": "Moves {numbers} of the lanes that a mask names.",
    "pmovmsk": "The signs of {numbers} as bits of a register.",
    "phadd": "Adds neighbours.",
    "plzcnt": "How many zeros stand before the highest bit of {numbers}.",
    "popcnt": "How many bits of {numbers} are set.",
    "pconflict": "Which lanes hold what an earlier lane holds.",
    "pcompress": "Puts {numbers} that a mask names side by side.",
    "pexpand": "Puts neighbours to the lanes that a mask names.",
    "ptestm": "A mask: where two numbers have a bit in common.",
    "ptestnm": "A mask: where two numbers have no bit in common.",
    "align": "Takes {numbers} from where one vector ends and another begins.",
    "psign": "Gives {numbers} the signs of others.",
    "pshld": "Moves bits of {numbers} to the left; those of others come in.",
    "pshrd": "Moves bits of {numbers} to the right; those of others come in.",
    "pgather": "Reads {numbers}, each from an address of its own.",
}
_OTHERS = (
    (r"movn?t?dqu?a?\d*|movdq[au]\d*|lddqu", "{moves} {bytes} bytes."),
    (r"movsldup|movddup", "Each number of an even lane twice."),
    (r"movshdup", "Each number of an odd lane twice."),
    (r"mov[dq]", "Moves one number between a vector and a register, or memory."),
    (r"movq2?\w*", "Moves 8 bytes."),
    (r"p?broadcast[fi]?\d*x?\d*", "Puts the same bytes into all parts of a vector."),
    (r"p?broadcastm\w+", "Puts the bits of a mask into all lanes."),
    (r"extract[fi]\d+(x\d)?", "Takes a part out of a vector."),
    (r"insert[fi]\d+(x\d)?", "Puts a part into a vector."),
    (r"extractps", "Takes one float32 out of a vector."),
    (r"insertps", "Puts one float32 into a vector, and zeros where a constant says so."),
    (r"perm2[fi]128|shuf[fi]\d+x\d", "Takes parts of 16 bytes from two vectors."),
    (r"p?maskmov(ps|pd|d|q|dqu)", "Moves numbers of the lanes that a mask names."),
    (r"gather[dq]p[sd]", "Reads numbers, each from an address of its own: as slow as single ones."),
    (r"p?scatter[dq]\w+", "Writes numbers, each to an address of its own."),
    (r"pmov[sz]x\w+", "Copies integers to more bits each."),
    (r"pmovu?s?(qd|qw|qb|dw|db|wb)", "Copies the lower bits of integers to fewer bits each."),
    (r"pmov[bwdq]2m", "The signs of integers as a mask."),
    (r"pmovm2[bwdq]", "All bits of a lane set where a mask has a bit."),
    (
        r"pack[su]s\w+|packus\w+",
        "Copies integers to fewer bits each; the largest where one is too large.",
    ),
    (r"punpck[lh]\w+", "Takes integers in turn from the halves of two vectors."),
    (r"psl?l?r?l?dq", "Moves the bytes of a vector to the side."),
    (r"palignr", "Takes bytes from where one vector ends and another begins."),
    (r"pshufb", "Puts bytes into another order."),
    (r"pshuf[lh]w", "Puts numbers of 16 bits into another order."),
    (r"ptest", "Looks whether two vectors have a bit in common."),
    (r"pmadd\w+|pdp\w+", "Multiplies short integers and adds neighbours."),
    (r"psadbw", "Sums the differences of bytes."),
    (r"dpp[sd]", "Sums the products of two short vectors."),
    (r"fpclassp[sd]", "A mask: which numbers are NaN, infinite, 0 and so on."),
    (r"rangep[sd]|reducep[sd]", "The smaller or larger, or what rounding leaves."),
    (r"kmov[bwdq]", "Copies a mask."),
    (r"kortest[bwdq]", "Looks whether two masks are empty, or full: what follows asks."),
    (r"ktest[bwdq]", "Looks what two masks have in common: what follows asks."),
    (r"kand[bwdq]", "What two masks have in common."),
    (r"kandn[bwdq]", "What is in the second mask but not in the first."),
    (r"kor[bwdq]", "What is in one of two masks."),
    (r"kxn?or[bwdq]", "Where two masks differ (kxor) or agree (kxnor); with itself: none, or all."),
    (r"knot[bwdq]", "What is not in a mask."),
    (r"kadd[bwdq]", "Adds two masks as numbers."),
    (r"kshift[lr][bwdq]", "Moves the bits of a mask."),
    (r"kunpck\w+", "Makes one mask of two."),
)
_KINDS = {
    "ps": "float32 numbers", "pd": "float64 numbers", "ph": "float16 numbers",
    "dq": "integers of 32 bits",
    "udq": "natural numbers of 32 bits", "qq": "integers of 64 bits",
    "uqq": "natural numbers of 64 bits", "ss": "one float32", "sd": "one float64",
    "si": "an integer", "usi": "a natural number", "w": "integers of 16 bits",
}  # fmt: skip


def vector_note(mnemonic: str, operands: tuple[str, ...]) -> str:
    """A sentence for an instruction; "" for one that is not known."""
    name = mnemonic.removeprefix("v") if mnemonic[0] == "v" else mnemonic
    sentence = _multiply_add(name, operands) or _sentence(name, operands)
    masked = re.search(r"\{(k\d)\}", " ".join(operands))
    if sentence and masked:
        others = "become 0" if "{z}" in " ".join(operands) else "stay"
        sentence += f" Only the lanes that the mask {masked[1]} names; the others {others}."
    return sentence


def _multiply_add(name: str, operands: tuple[str, ...]) -> str:
    found = re.fullmatch(r"f(n?)m(add|sub|addsub|subadd)(132|213|231)([ps])([sdh])", name)
    if not found or len(operands) != 3:
        return ""
    shown = [_operand(each) for each in operands]
    first, second, third = (shown[int(digit) - 1] for digit in found[3])
    sign = {"add": "+", "sub": "-", "addsub": "-+", "subadd": "+-"}[found[2]]
    minus = "-" if found[1] else ""
    count = _lanes(operands, _SIZES[found[5]] if found[5] != "d" else 8)
    many = "A multiply-add" if found[4] == "s" else f"{count} multiply-adds"
    return (
        f"{many} of {_TYPES[found[5]]}, rounded once:"
        f" {shown[0]} = {minus}{first} * {second} {sign} {third}."
    )


def _operand(text: str) -> str:
    if "[" in text:
        return "memory in all lanes" if "{1to" in text else "memory"
    return re.sub(r"\s*\{.*", "", text)


def _lanes(operands: tuple[str, ...], size: int) -> int:
    return _width(operands) // size


def _width(operands: tuple[str, ...]) -> int:
    text = " ".join(operands)
    return 64 if "zmm" in text else 32 if "ymm" in text else 16


def _sentence(name: str, operands: tuple[str, ...]) -> str:
    compared = re.fullmatch(r"cmp(\w*?)(?:_?(?:o|u)?(?:q|s|qs))?([ps])([sdh])", name)
    if compared:
        return _comparison(compared[1], compared[2], compared[3], operands)
    integer = re.fullmatch(r"pcmp(eq|ne|neq|lt|le|gt|ge|nlt|nle)(u?)([bwdq])", name)
    if integer and operands and operands[0].startswith("k"):
        count = _lanes(operands, _SIZES[integer[3]])
        return f"Compares {count} pairs of integers into a mask: {_COMPARED[integer[1]]}?"
    floats = re.fullmatch(r"(\w+?)([ps])([sdh])", name)
    if floats:
        found = _of_floats(floats[1], floats[2], floats[3], operands)
        if found:
            return found
    converted = re.fullmatch(r"cvt(t?)(\w+?)2(\w+)", name)
    if converted and converted[2] in _KINDS and converted[3] in _KINDS:
        how = ", towards 0" if converted[1] else ""
        return f"Turns {_KINDS[converted[2]]} into {_KINDS[converted[3]]}{how}."
    for pattern, words in _OTHERS:
        if re.fullmatch(pattern, name):
            moves = "Writes" if operands and "[" in operands[0] else "Reads"
            moves = moves if "[" in " ".join(operands) else "Copies"
            return words.format(bytes=_width(operands), moves=moves)
    integers = re.fullmatch(r"(\w+?)([bwdq])", name)
    words = _INTEGERS.get(integers[1], "") if integers else _INTEGERS.get(name, "")
    words = words or _INTEGERS.get(name, "")
    size = _SIZES[integers[2]] if integers else 4
    numbers = f"{_lanes(operands, size)} integers"
    return _capital(words.format(numbers=numbers, pairs=f"{numbers[:-8]}pairs of integers"))


def _comparison(how: str, many: str, kind: str, operands: tuple[str, ...]) -> str:
    size = {"s": 4, "d": 8, "h": 2}[kind]
    what = "two numbers" if many == "s" else f"{_lanes(operands, size)} pairs"
    asked = f": {_COMPARED[how]}?" if how in _COMPARED else "."
    to = " into a mask" if operands and operands[0].startswith("k") else ""
    where = "" if to else " All bits are set where it is so."
    return f"Compares {what} of {_TYPES[kind]}{to}{asked}{where}"


def _of_floats(root: str, many: str, kind: str, operands: tuple[str, ...]) -> str:
    """Of what ends in ps, pd, ss or sd."""
    type_, size = _TYPES[kind], {"s": 4, "d": 8, "h": 2}[kind]
    count = 1 if many == "s" else _lanes(operands, size)
    numbers = f"a {type_}" if count == 1 else f"{count} {type_}"
    pairs = f"two {type_}" if count == 1 else f"{count} pairs of {type_}"
    if root in ("movu", "mova", "mov"):
        if "[" not in " ".join(operands):
            return f"Copies {numbers}."
        return f"{'Writes' if '[' in operands[0] else 'Reads'} {numbers}" + (
            " into memory." if "[" in operands[0] else " from memory."
        )
    if root == "broadcast":
        return f"Puts one {type_} into all {_lanes(operands, size)} lanes."
    return _capital(_ARITHMETIC.get(root, "").format(numbers=numbers, pairs=pairs))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
