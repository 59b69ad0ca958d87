"""The kernels of traced calls, and their code: one listing for each kernel and signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..device import folder
from ..machine.pace import Pace
from .facts import Call, Kernel, KernelCall, Listing
from .trace import Door, Traced


class Listings:
    """Turns traced calls into data, and remembers which kernels they ran; `files` are all named."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.files: set[str] = set()
        self._tell = tell
        self._kernels: dict[str, tuple[str, KernelCall]] = {}
        self._keys: dict[tuple[str, str, str], str] = {}

    def calls(self, calls: Sequence[Traced]) -> tuple[Call, ...]:
        """The calls as data."""
        return tuple(map(self._call, calls))

    def _call(self, call: Traced) -> Call:
        self.files.update(filter(None, [call.code.file]))
        kernels = []
        for each in call.kernels:
            key = self._key(call.device, each)
            kernels.append(Kernel(key, each.kernel, each.ms, each.detail))
        return Call(
            call.pass_, call.device, call.family, call.function, call.code.file, call.code.first,
            call.arguments, call.ms, tuple(kernels),
        )  # fmt: skip

    def _key(self, device: str, call: KernelCall) -> str:
        """The listing's key: "cpu:relu._rectify:1", the number is the signature's."""
        same = (folder(device), call.kernel, call.signature)
        if same not in self._keys:
            number = 1 + sum(known[:2] == same[:2] for known in self._keys)
            key = self._keys[same] = f"{same[0]}:{call.kernel}:{number}"
            self._kernels[key] = device, call
        return self._keys[same]

    def make(self, code: bool) -> dict[str, Listing]:
        """The listings by key, with their code or without."""
        if code and self._kernels:
            count = len(self._kernels)
            self._tell(f"listing {count} kernels: what is new is compiled with line tables, once")
        doors = {device: Door(device) for device, _ in self._kernels.values()}
        found, pace = {}, Pace()
        for number, (key, (device, call)) in enumerate(self._kernels.items(), 1):
            if code and pace.due():
                self._tell(f"kernel {number} of {len(self._kernels)}: {call.kernel} on {device}")
                pace.said()
            found[key] = (
                _listing(doors[device], call)
                if code
                else _empty(device, call, "its code was not asked for")
            )
            self.files.update(_files(found[key]))
        return found


def _listing(door: Door, call: KernelCall) -> Listing:
    """A kernel's code; why there is none where its device cannot tell it."""
    try:
        return door.listing(call)
    except Exception as error:
        said = " ".join(str(error).split())
        return _empty(door.device, call, f"{type(error).__name__}: {said}")


def _empty(device: str, call: KernelCall, why: str) -> Listing:
    return Listing(
        device, call.kernel, call.signature, call.file, call.line, call.line, missing=why
    )


def _files(listing: Listing) -> Iterable[str]:
    rows = (row.file for form in listing.forms.values() for row in form.rows)
    return {name for name in (listing.file, *rows) if name}
