"""How large an encoded picture says it is, read from its head: before anything is decoded.

A PNG of 50 KB may unpack to gigabytes. OpenCV has a limit of 2^30 pixels only, in 4 bytes each.
"""

from __future__ import annotations

from ..errors import DataError

ALWAYS = 1 << 26  # pixels that any picture may have, 8192 x 8192
PER_BYTE = 64  # pixels that each byte of a file may stand for beyond that

Size = tuple[int, int]  # width, height

START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # of JPEG
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers of JPEG that have no length


def check_size(file: bytes) -> None:
    """Raise DataError for a picture of more pixels than its bytes can honestly hold."""
    width, height = size_of(file) or (0, 0)
    if width * height > max(ALWAYS, PER_BYTE * len(file)):
        raise DataError(
            f"an encoded picture of {len(file)} bytes says that it has {width} x {height} pixels:"
            f" more than {ALWAYS} are read only of files with a byte for each {PER_BYTE}"
        )


def size_of(file: bytes) -> Size | None:
    """Width and height of a PNG, JPEG, GIF, BMP, WebP or TIFF; None for others and damaged ones."""
    if file.startswith(b"\x89PNG\r\n\x1a\n"):
        return _number(file, 16, 4, "big"), _number(file, 20, 4, "big")
    if file.startswith(b"\xff\xd8"):
        return _jpeg(file)
    if file.startswith(b"GIF8"):
        return _number(file, 6, 2), _number(file, 8, 2)
    if file.startswith(b"BM"):
        return abs(_signed(file, 18)), abs(_signed(file, 22))
    if file.startswith(b"RIFF") and file[8:12] == b"WEBP":
        return _webp(file)
    if file[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(file)
    return None


def _number(file: bytes, at: int, length: int, order: str = "little") -> int:
    return int.from_bytes(file[at : at + length], "big" if order == "big" else "little")


def _signed(file: bytes, at: int) -> int:
    return int.from_bytes(file[at : at + 4], "little", signed=True)


def _jpeg(file: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(file):
        if file[at] != 0xFF or file[at + 1] in (0x00, 0xFF):
            at += 1
            continue
        marker = file[at + 1]
        if marker in START_OF_FRAME:
            return _number(file, at + 7, 2, "big"), _number(file, at + 5, 2, "big")
        at += 2 if marker in ALONE else 2 + _number(file, at + 2, 2, "big")
    return None


def _webp(file: bytes) -> Size | None:
    kind = file[12:16]
    if kind == b"VP8X":
        return _number(file, 24, 3) + 1, _number(file, 27, 3) + 1
    if kind == b"VP8L":
        bits = _number(file, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _number(file, 26, 2) & 0x3FFF, _number(file, 28, 2) & 0x3FFF
    return None


def _tiff(file: bytes) -> Size | None:
    """Of the first picture: entries of 12 bytes, of which tags 256 and 257 are the size."""
    order = "little" if file.startswith(b"II") else "big"
    start = _number(file, 4, 4, order)
    found = {}
    for index in range(_number(file, start, 2, order)):
        at = start + 2 + 12 * index
        length = 2 if _number(file, at + 2, 2, order) == 3 else 4
        found[_number(file, at, 2, order)] = _number(file, at + 8, length, order)
    return (found[256], found[257]) if 256 in found and 257 in found else None
