"""A submission: a folder or a zip, out of which only the files that a lab names are taken."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from .course import Lab, LabError, load
from .folder import MARK
from .release import handed_out

LARGEST = 1 << 20  # bytes of a file


class Submission:
    """Files by their paths, of one student."""

    def __init__(self, path: Path) -> None:
        """Raises LabError for what is no folder and no zip."""
        self.student = path.stem if path.is_file() else path.name
        self._path = path
        self._names: dict[str, str] = {}
        if path.is_dir():
            self._names = {
                file.relative_to(path).as_posix(): str(file)
                for file in path.rglob("*")
                if file.is_file() and not file.is_symlink()
            }
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                self._names = {name: name for name in archive.namelist() if name[-1] != "/"}
        else:
            raise LabError(f"{path}: a folder or a zip is expected")

    def lab(self, name: str = "") -> Lab:
        """The lab that it says to be of, or the one of this name. Raises LabError."""
        if name:
            return load(name)
        content = self.read(MARK)
        try:
            mark = json.loads(content or b"")
            return load(str(mark["lab"]), str(mark.get("variant", "")))
        except (ValueError, KeyError, TypeError):
            raise LabError(f"{self._path}: no {MARK} says which lab it is: -lab NAME") from None

    def read(self, name: str) -> bytes | None:
        """A file of this path, in the submission's root or in the folder that it lies in."""
        found = [path for path in self._names if path == name or path.endswith(f"/{name}")]
        if not found:
            return None
        path = min(found, key=len)
        if self._path.is_dir():
            with open(self._names[path], "rb") as file:
                content = file.read(LARGEST + 1)
        else:
            with zipfile.ZipFile(self._path) as archive, archive.open(path) as member:
                content = member.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise LabError(f"{self._path}: {path} is larger than {LARGEST} bytes")
        return content

    def unpack(self, lab: Lab, folder: Path) -> list[str]:
        """Lay out the lab as given, but for this submission's files; the names of missing ones."""
        missing = []
        for file in handed_out(lab):
            content: bytes | None = file.content
            if file.path in lab.files:
                content = self.read(file.path)
            if content is None:
                missing.append(file.path)
                continue
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.path).write_bytes(content)
        return missing
