"""Integer operations as PTX defines them; values are NumPy integers of the operation's type."""

import numpy as np

from .lanes import Value


def divide(a: Value, b: Value) -> Value:
    """a / b towards zero; a division by zero gives ones, as GPUs do."""
    zero = b == 0
    safe = np.where(zero, b.dtype.type(1), b) if zero.any() else b
    quotient = a // safe
    if a.dtype.kind == "i" and int(quotient.min()) < 0:
        quotient = quotient + ((quotient < 0) & (quotient * safe != a))
    return np.where(zero, np.array(-1).astype(a.dtype), quotient) if safe is not b else quotient


def remainder(a: Value, b: Value) -> Value:
    """a - b * (a / b); a itself where b is zero."""
    zero = b == 0
    result = a - b * divide(a, b)
    return np.where(zero, a, result) if zero.any() else result


def multiply_high(a: Value, b: Value) -> Value:
    """The upper half of the product."""
    if a.dtype.itemsize < 8:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
        product = a.astype(wide) * b.astype(wide)
        return (product >> wide.type(8 * a.dtype.itemsize)).astype(a.dtype)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    x, y = a.view(np.uint64), b.view(np.uint64)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    middle = x0 * y1 + (x0 * y0 >> half)
    cross = x1 * y0 + (middle & low)
    high = x1 * y1 + (middle >> half) + (cross >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.view(a.dtype)


def shift_left(a: Value, count: Value) -> Value:
    """Shifts by the width or more leave nothing."""
    width = np.uint32(8 * a.dtype.itemsize)
    shifted = a << np.minimum(count, width - np.uint32(1)).astype(a.dtype)
    return np.where(count >= width, a.dtype.type(0), shifted)


def shift_right(a: Value, count: Value) -> Value:
    """Signed numbers keep their sign; shifts by the width or more leave nothing else."""
    width = np.uint32(8 * a.dtype.itemsize)
    shifted = a >> np.minimum(count, width - np.uint32(1)).astype(a.dtype)
    return shifted if a.dtype.kind == "i" else np.where(count >= width, a.dtype.type(0), shifted)


def funnel_shift(low: Value, high: Value, count: Value, left: bool, wrap: bool) -> Value:
    """Of 64 bits, shifted, the upper (left) or lower (right) 32."""
    most = np.uint32(32)
    count = count & np.uint32(31) if wrap else np.minimum(count, most)
    both = (high.astype(np.uint64) << np.uint64(32)) | low
    wide = count.astype(np.uint64)
    moved = (both << wide) >> np.uint64(32) if left else both >> wide
    return moved.astype(np.uint32)


def highest_bit(a: Value) -> Value:
    """The place of the highest bit that is not the sign; ones where there is none."""
    bits = a.view(f"u{a.dtype.itemsize}").astype(np.uint64)
    if a.dtype.kind == "i":
        bits = np.where(a < 0, ~a, a).astype(np.uint64)
    place, rest = np.zeros(a.shape, np.uint32), bits
    for step in (32, 16, 8, 4, 2, 1):
        upper = rest >> np.uint64(step)
        place = np.where(upper != 0, place + np.uint32(step), place)
        rest = np.where(upper != 0, upper, rest)
    return np.where(bits == 0, np.uint32(0xFFFFFFFF), place)


def reverse_bits(a: Value) -> Value:
    """Bits from the last to the first."""
    as_bytes = np.ascontiguousarray(a).view(np.uint8).reshape(a.size, -1)
    bits = np.unpackbits(as_bytes, axis=1, bitorder="little")
    return np.packbits(bits[:, ::-1], axis=1, bitorder="little").view(a.dtype).reshape(-1)


def insert_field(field: Value, into: Value, begin: Value, length: Value) -> Value:
    """bfi: `length` bits of a field put at a place of another value."""
    mask = shift_left(_ones(length & np.uint32(255), into.dtype), begin & np.uint32(255))
    return (into & ~mask) | (shift_left(field, begin & np.uint32(255)) & mask)


def extract_field(a: Value, begin: Value, length: Value) -> Value:
    """bfe: `length` bits from a place on; of a signed number they keep the uppermost as sign."""
    begin, length = begin & np.uint32(255), length & np.uint32(255)
    mask = _ones(length, a.dtype)
    field = shift_right(a, begin) & mask
    if a.dtype.kind == "u":
        return field
    top = np.minimum(begin + length - np.uint32(1), np.uint32(8 * a.dtype.itemsize - 1))
    negative = (shift_right(a, top) & a.dtype.type(1) != 0) & (length > 0)
    return np.where(negative, field | ~mask, field)


def _ones(length: Value, dtype: np.dtype) -> Value:
    """So many ones from the lowest bit on."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    one = np.ones(1, unsigned)
    ones = np.where(length >= 8 * dtype.itemsize, ~(one - one), shift_left(one, length) - one)
    return ones.view(dtype)


def permute(a: Value, b: Value, selector: Value) -> Value:
    """prmt: four bytes of the eight of a and b, each as a digit of the selector says."""
    both = (b.astype(np.uint64) << np.uint64(32)) | a
    result = np.zeros(1, np.uint32)
    for place in range(0, 32, 8):
        digit = selector >> np.uint32(place // 2)
        shift = (digit & np.uint32(7)).astype(np.uint64) * np.uint64(8)
        byte = (both >> shift).astype(np.uint32) & np.uint32(255)
        sign = np.where(byte & np.uint32(128), np.uint32(255), np.uint32(0))
        byte = np.where(digit & np.uint32(8), sign, byte)
        result = result | (byte << np.uint32(place))
    return result


PERMUTES = {  # the selector of each mode of prmt, for the values 0 to 3 of its third operand
    "f4e": (0x3210, 0x4321, 0x5432, 0x6543),
    "b4e": (0x5670, 0x6701, 0x7012, 0x0123),
    "rc8": (0x0000, 0x1111, 0x2222, 0x3333),
    "ecl": (0x3210, 0x3211, 0x3222, 0x3333),
    "ecr": (0x0000, 0x1110, 0x2210, 0x3210),
    "rc16": (0x1010, 0x3232, 0x1010, 0x3232),
}


def logic(a: Value, b: Value, c: Value, table: int) -> Value:
    """lop3: bit k = 4 a + 2 b + c of the table, for each bit."""
    result = np.zeros(1, a.dtype)
    for k in range(8):
        if table >> k & 1:
            one = (a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c)
            result = result | one
    return result
