"""Code that travels: minicaffe, and the folders of MINICAFFE_PATH, importable on the executors."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import minicaffe
from minicaffe import overlay
from minicaffe.data.source import ANCESTOR
from minicaffe.overlay import ROOMS

_shipping = threading.Lock()

MIRROR = "minicaffe_path"  # the folder in a zip that holds what the folders of MINICAFFE_PATH do


def ship_code(sc: Any) -> None:
    """Make minicaffe importable on the executors, once a context, if --py-files does not.

    The files of MINICAFFE_PATH come first there as they do here. Executors on this machine run
    this Python, unless the user has named one.
    """
    named = "PYSPARK_PYTHON" in os.environ or sc.getConf().get("spark.pyspark.python")
    if sc.master.startswith("local") and not named:
        sc.pythonExec = sys.executable
    with _shipping:  # Spark refuses a file while another thread adds its equal
        if not getattr(sc, "_minicaffe_shipped", False):
            _ship(sc)
            sc._minicaffe_shipped = True


def _ship(sc: Any) -> None:
    # In the session's own folder, which goes with it: Spark serves the files from here.
    folder = Path(tempfile.mkdtemp(prefix="minicaffe-", dir=getattr(sc, "_temp_dir", None)))
    if ".zip" not in str(minicaffe.__file__):
        sc.addPyFile(str(package_zip(folder)))
    if overlay.folders():
        mirror = overlay_zip(folder)
        sc.addPyFile(str(mirror))
        sc.environment[overlay.VARIABLE] = f"{mirror.name}/{MIRROR}"


def package_zip(folder: Path) -> Path:
    """This package as a zip, the rooms under their import names; its name tells the content."""
    files: dict[str, bytes] = {}
    for room in ("", *ROOMS):
        package = importlib.import_module("minicaffe" + (f".{room}" if room else ""))
        root = Path(overlay.product_folder(package))
        for path in sorted(root.rglob("*.py")):
            name = Path("minicaffe", room, path.relative_to(root)).as_posix()
            files[name] = path.read_bytes()
    files |= _ancestors_names()
    return _zip(folder, f"minicaffe-{minicaffe.__version__}", files)


def _ancestors_names() -> dict[str, bytes]:
    """The package com.yahoo.ml.caffe, which a program's functions may name."""
    spec = importlib.util.find_spec(ANCESTOR)
    if spec is None or spec.origin is None:
        return {}
    root = Path(spec.origin).parent
    *above, top = root.parents[: ANCESTOR.count(".") + 1]
    paths = [*root.rglob("*.py"), *(folder / "__init__.py" for folder in above)]
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in paths}


def overlay_zip(folder: Path) -> Path:
    """All the folders of MINICAFFE_PATH as one zip. Raises Error where they cannot be read."""
    places = overlay.mirrored_files()
    files = {f"{MIRROR}/{name}": Path(place).read_bytes() for name, place in places.items()}
    for below in {PurePosixPath(name).parent for name in places} - {PurePosixPath()}:
        package = importlib.import_module("minicaffe." + ".".join(below.parts))
        if package.__file__ is None:  # in a zip a folder without this is none
            files[f"{MIRROR}/{below}/__init__.py"] = b""
    return _zip(folder, "minicaffe-path", files)


def _zip(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    target = folder / f"{name}-{digest}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return target
