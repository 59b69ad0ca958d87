"""Files that spark-submit ships (--files), which a program names without their folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from minicaffe.errors import DataError
from minicaffe.machine.file_system import local_path

# Where spark-submit leaves the list: what is fetched into a folder of the driver, and on YARN.
SETTINGS = ("spark.files", "spark.yarn.dist.files")


def shipped(sc: Any, name: str) -> Iterator[str]:
    """The paths, on the driver, of the files that --files ships under a name; most often none.

    A name has no folder. `PATH#NAME` ships a file under another name.
    """
    if getattr(sc, "_jvm", None) is None or os.path.basename(name) != name:
        return
    listed = ",".join(filter(None, (sc.getConf().get(setting) for setting in SETTINGS)))
    for entry in filter(None, listed.split(",")):
        url, _, alias = entry.strip().partition("#")
        if (alias or os.path.basename(url)) != name:
            continue
        fetched = os.path.join(sc._jvm.org.apache.spark.SparkFiles.getRootDirectory(), name)
        for path in (fetched, _local(url)):
            if os.path.isfile(path):
                yield path


def _local(url: str) -> str:
    try:
        return local_path(url)
    except DataError:  # on another file system: Spark has fetched it, or nobody has
        return ""
