"""Machine code of the fast emulator, kept on disk beside the PTX: a file a kernel and processor.

A file is the SHA-256 of what follows, then the code: what a crash or a full disk left of one does
not fit, and is made again.
"""

import hashlib
import logging

from minicaffe.machine.compiling import compiling
from minicaffe.ptx import Kernel
from minicaffe.ptx.fast import Compiled, Unknown, digest, translate

from ..._kept import base, read_own, safe, write

log = logging.getLogger("minicaffe")

_HASH = hashlib.sha256().digest_size


def machine_code_of(kernel: Kernel) -> Compiled | None:
    """The kernel as code of this processor; None, and a line in the log, where it has an
    instruction that only the checked engine knows."""
    folder = safe(base() / "ptx")
    place = folder and folder / f"{kernel.short_name}-{digest(kernel)[:20]}.o"
    kept = read_own(place) if place else b""
    code = kept[_HASH:]
    if not code or hashlib.sha256(code).digest() != kept[:_HASH]:
        try:
            code = _translated(kernel)
        except Unknown as instruction:
            log.info("kernel %s runs in the checked emulator: %s", kernel.short_name, instruction)
            return None
        if place:
            write(place, hashlib.sha256(code).digest() + code)
    return Compiled(kernel, code)


def _translated(kernel: Kernel) -> bytes:
    compiling.begins(kernel.short_name)
    try:
        return translate(kernel)
    finally:
        compiling.ends(kernel.short_name)
