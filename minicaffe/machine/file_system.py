"""The door to files wherever they lie: paths, `file:`, and through fsspec `hdfs:`, `s3:`, `s3a:`.

    read_file("hdfs://namenode:8020/lenet.caffemodel")
    with whole_file("s3a://bucket/lenet.caffemodel") as beside: ...      # in whole_file.py

What is read or written there passes a file here, whole: nobody reads a half-written file, on HDFS
because it is written beside its place and moved, in an object store because a put is one step.

HDFS is found by the address in the URL, or by HADOOP_CONF_DIR; S3 by Hadoop's settings, see
s3_settings.py, or by what AWS's tools look at, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ..errors import DataError, Error, extra
from .s3_settings import arguments

FAR = {"hdfs": "hdfs", "s3": "s3", "s3a": "s3"}  # scheme -> the extra that reads it
NAMENODE = 8020  # the port of an hdfs: URL without one
PATIENCE = 10.0  # seconds in which a NameNode must answer; its client would try for minutes


@dataclass(frozen=True)
class Entry:
    """A file: its name in its folder, its size in bytes, and what changes when it is rewritten."""

    name: str
    size: int
    version: str


def scheme_of(url: str) -> str:
    """The scheme of a URL, in lower case; "" for a plain path."""
    scheme, colon, _ = url.partition(":")
    return scheme.lower() if colon and "/" not in scheme else ""


def is_far(url: str | os.PathLike[str]) -> bool:
    """Whether a URL leads to another file system than that of this machine."""
    return scheme_of(os.fspath(url)) in FAR


def local_path(url: str) -> str:
    """The path of `file:` URLs in all the forms that Hadoop knows, and of plain paths.

    Raises DataError for other schemes.
    """
    scheme = scheme_of(url)
    if not scheme:
        return url
    if scheme in FAR:
        raise DataError(f"'{url}': only plain paths and file: can be used here, not {scheme}:")
    if scheme != "file":
        known = ", ".join(f"{name}:" for name in ("file", *FAR))
        raise DataError(f"'{url}': no file system {scheme}: (there are: {known} and plain paths)")
    rest = url.partition(":")[2]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise DataError(f"'{url}' names host '{host}'; a local file has three slashes")
        return "/" + path.lstrip("/") if slash else "/"
    return rest


def exists(url: str) -> bool:
    """Whether there is a file or a folder. Raises DataError where that cannot be told."""
    if not is_far(url):
        return os.path.exists(local_path(url))
    with _far(url) as (system, path):
        return bool(system.exists(path))


def file_size(url: str) -> int:
    """The bytes of a file. Raises DataError where there is none."""
    return entry_of(url).size


def entry_of(url: str) -> Entry:
    """What is known of a file. Raises DataError where there is none."""
    if is_far(url):
        with _far(url) as (system, path):
            return _entry(system.info(path))
    with _here(url):
        status = os.stat(local_path(url))
        return Entry(os.path.basename(url), status.st_size, str(status.st_mtime_ns))


def files_in(folder: str) -> list[Entry]:
    """The files that lie directly in a folder, by name; none where there is no such folder."""
    if is_far(folder):
        with _far(folder) as (system, path):
            try:
                found = system.ls(path, detail=True)
            except FileNotFoundError:
                return []
            return sorted((_entry(each) for each in found if each["type"] == "file"), key=_name)
    root = local_path(folder) or "."
    if not os.path.isdir(root):
        return []
    with _here(folder):
        names = [each.name for each in os.scandir(root) if each.is_file()]
        return [entry_of(os.path.join(root, name)) for name in sorted(names)]


def read_file(url: str) -> bytes:
    """The content of a file. Raises DataError."""
    if is_far(url):
        with _far(url) as (system, path):
            content: bytes = system.cat_file(path)
            return content
    with _here(url):
        return Path(local_path(url)).read_bytes()


def open_file(url: str) -> BinaryIO:
    """A file for reading, from any place in it. Raises DataError."""
    if is_far(url):
        with _far(url) as (system, path):
            far: BinaryIO = system.open(path, "rb")
            return far
    with _here(url):
        return open(local_path(url), "rb")


def download(url: str, target: str | os.PathLike[str]) -> None:
    """Copy a file to a path of this machine. Raises DataError."""
    if is_far(url):
        with _far(url) as (system, path):
            system.get_file(path, os.fspath(target))
    else:
        with _here(url):
            shutil.copyfile(local_path(url), target)


def upload(source: str | os.PathLike[str], url: str, error: type[Error] = DataError) -> None:
    """Put a file of this machine to a far URL, whole or not at all. Raises `error`."""
    with _far(url, error, "written") as (system, path):
        if FAR[scheme_of(url)] != "hdfs":
            system.put_file(os.fspath(source), path)
            return
        folder, name = os.path.split(path)
        beside = os.path.join(folder, f".{name[:40]}.{os.urandom(6).hex()}")
        try:
            with open(source, "rb") as here, system.open(beside, "wb") as there:
                shutil.copyfileobj(here, there, 1 << 20)
            system.mv(beside, path, overwrite=True)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(beside)
            raise


def remove_file(url: str) -> None:
    """Remove a file. Raises DataError where there is none; an object store does not tell."""
    if is_far(url):
        with _far(url, DataError, "removed") as (system, path):
            system.rm_file(path)
    else:
        with _here(url):
            os.remove(local_path(url))


@contextlib.contextmanager
def at_hand(url: str, error: type[Error] = DataError) -> Iterator[str]:
    """A path under which a file can be read: its own, or that of a copy which goes away after it.

    Raises `error` where a far file cannot be had.
    """
    if not is_far(url):
        yield local_path(url)
        return
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder:
        copy = os.path.join(folder, url.rstrip("/").rpartition("/")[2])
        try:
            download(url, copy)
        except DataError as problem:
            raise error(str(problem)) from problem
        try:
            yield copy
        except Error as problem:
            problem.args = (str(problem).replace(copy, url), *problem.args[1:])
            raise


def check_far(url: str, error: type[Error] = DataError) -> None:
    """Raise `error` unless a file can be put at a far URL, which is left as it is."""
    probe = f"{url}.probe-{os.urandom(6).hex()}"
    with tempfile.NamedTemporaryFile() as empty:
        upload(empty.name, probe, error)
    remove_file(probe)


def free_bytes(folder: str) -> int | None:
    """How much may still be written into a folder; None where its file system does not tell."""
    if is_far(folder):
        return None
    try:
        return shutil.disk_usage(local_path(folder) or ".").free
    except OSError:
        return None


# --- inside --------------------------------------------------------------------------------------


def _name(entry: Entry) -> str:
    return entry.name


def _entry(info: dict[str, Any]) -> Entry:
    version = info.get("ETag") or info.get("modification_time") or ""
    return Entry(os.path.basename(str(info["name"]).rstrip("/")), int(info["size"]), str(version))


@contextlib.contextmanager
def _here(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise DataError(f"cannot read {url}: {problem.strerror or problem}") from problem


@contextlib.contextmanager
def _far(url: str, error: type[Error] = DataError, what: str = "read") -> Iterator[tuple[Any, str]]:
    """The file system of a far URL and the path in it; every failure in one sentence."""
    try:
        yield _open(url)
    except Error:
        raise
    except FileNotFoundError as problem:
        missing = "its bucket is missing" if "bucket" in str(problem) else "there is no such file"
        raise error(f"{url}: cannot be {what}: {missing}") from problem
    except Exception as problem:  # each client has errors of its own
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise error(f"{url}: cannot be {what}: {reason[:300]}") from problem


def _open(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    purpose = f"{scheme_of(url)}: ({url})"
    parts = urlsplit(url)
    if FAR[scheme_of(url)] == "s3":
        if not parts.netloc:
            raise DataError(f"'{url}': s3: needs a bucket, s3a://BUCKET/PATH")
        kind = extra("s3fs", "s3", purpose).S3FileSystem
        return kind(use_listings_cache=False, **arguments(parts.netloc)), parts.netloc + parts.path
    native = extra("hdfs_native.fsspec", "hdfs", purpose)
    if not parts.netloc and not os.environ.get("HADOOP_CONF_DIR"):
        raise DataError(
            f"'{url}' names no NameNode: write hdfs://HOST:{NAMENODE}/PATH, or set HADOOP_CONF_DIR"
        )
    if parts.port or (parts.hostname and not os.environ.get("HADOOP_CONF_DIR")):
        _knock(str(parts.hostname), parts.port or NAMENODE)
    return native.HdfsFileSystem(host=parts.hostname, port=parts.port), parts.path or "/"


def _knock(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as problem:
        reason = problem.strerror or problem
        raise ConnectionError(f"no NameNode answers at {host}:{port} ({reason})") from problem
