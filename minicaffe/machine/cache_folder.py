"""Where what can be made again is kept between processes: compiled kernels, mirrors of a Java."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/minicaffe, else ~/.cache/minicaffe; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "minicaffe"


def kernel_folder() -> Path:
    """Where compiled kernels go: $MINICAFFE_CACHE_DIR, else the cache folder."""
    named = os.environ.get("MINICAFFE_CACHE_DIR")
    return Path(named) if named else cache_folder()


def can_be_made(folder: Path) -> bool:
    """Whether a folder is there and may be written to, or can be made; it is made then."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
