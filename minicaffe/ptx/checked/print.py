"""print() in a kernel, which is a call of vprintf: a format and the numbers that it shows."""

import re

import numpy as np

from ..instruction import Instruction, Vector
from .batch import Batch
from .operands import Operands, Step, unknown
from .window import READ

_CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l)?([diuoxXeEfFgGcsp%])")
_MOST_TEXT = 4096


def call(operands: Operands, instruction: Instruction) -> Step:
    """A call of a function that the text does not have; vprintf is the only one that is known."""
    results, given = instruction.operands
    assert isinstance(results, Vector) and isinstance(given, Vector)
    if not instruction.has("vprintf") or len(given.items) != 2:
        raise unknown(operands.kernel, instruction, ": nobody has the function that it calls")
    form, numbers = (operands.read(each, "u64") for each in given.items)
    writes = [operands.write(each, "b32", instruction) for each in results.items]

    def step(batch: Batch) -> None:
        places = batch.whole(numbers(batch))
        forms = batch.whole(form(batch))
        for lane in batch.mask.index:
            one = np.zeros(batch.lanes, np.bool_)
            one[lane] = True
            mask = batch.narrowed(one)
            assert mask is not None
            with batch.only(mask):
                print(_text(batch, int(forms[lane]), int(places[lane])), end="")
        for write in writes:
            write(batch, np.ones(1, np.uint32))

    return step


def _text(batch: Batch, form: int, place: int) -> str:
    """What one thread prints."""
    letters = bytearray()
    while len(letters) < _MOST_TEXT:
        letter = int(_read(batch, form + len(letters), np.dtype(np.uint8)))
        if not letter:
            break
        letters.append(letter)
    at = place

    def shown(match: re.Match[str]) -> str:
        nonlocal at
        kind = match[1]
        if kind == "%":
            return "%"
        wide = kind in "eEfFgGsp" or "l" in match[0]
        size = 8 if wide else 4
        at += -(at - place) % size
        types = "f8" if kind in "eEfFgG" else f"{'i' if kind in 'di' else 'u'}{size}"
        value = _read(batch, at, np.dtype(types)).item()
        at += size
        if kind == "s":
            return _text(batch, value, 0)
        form = re.sub("[hl]", "", match[0]).replace("p", "#x")
        return str(form % value)

    return _CONVERSION.sub(shown, letters.decode("utf-8", "replace"))


def _read(batch: Batch, address: int, dtype: np.dtype) -> np.generic:
    parts = batch.locate("generic", np.array([address], np.uint64), dtype, 1, READ)
    value: np.generic = batch.active(batch.gather(parts, 0))[0]
    return value
