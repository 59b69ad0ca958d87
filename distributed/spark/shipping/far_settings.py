"""What a session knows of S3, for the driver and, with a job's closure, for its tasks."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from minicaffe.machine.s3_settings import (
    NAMES,
    OF_BUCKET,
    PREFIX,
    SECRETS,
    S3Settings,
    chosen,
    use_settings,
)

T = TypeVar("T")


def learn_settings(sc: Any) -> None:
    """Let this process open files in S3 as the session's Hadoop would."""
    if getattr(sc, "_jsc", None) is not None:
        found: list[S3Settings] = []

        def ask() -> S3Settings:
            with contextlib.suppress(Exception):  # a context that has been stopped
                found[:] = [read_settings(sc)]
            return found[0] if found else S3Settings()

        use_settings(ask)


def read_settings(sc: Any) -> S3Settings:
    """The settings of S3 in the session's Hadoop configuration, from wherever it has them.

    Spark puts `spark.hadoop.fs.s3a.*` there, Hadoop core-site.xml; secrets may also lie in a store
    of credentials (hadoop.security.credential.provider.path).
    """
    hadoop = sc._jsc.hadoopConfiguration()
    of_buckets = dict(hadoop.getPropsWithPrefix(f"{PREFIX}{OF_BUCKET}"))
    properties = {f"{PREFIX}{OF_BUCKET}{name}": value for name, value in of_buckets.items()}
    for name in NAMES:
        if name in SECRETS:
            secret = hadoop.getPassword(f"{PREFIX}{name}")
            value = None if secret is None else "".join(secret)
        else:
            value = hadoop.get(f"{PREFIX}{name}")
        if value:
            properties[f"{PREFIX}{name}"] = value
    return chosen(properties)


def carried(sc: Any, body: Callable[..., T]) -> Callable[..., T]:
    """A task's body that knows these settings on an executor too; they travel in its closure."""
    settings = read_settings(sc) if getattr(sc, "_jsc", None) is not None else S3Settings()
    return functools.partial(_with_settings, settings, body)


def _with_settings(settings: S3Settings, body: Callable[..., T], *args: Any) -> T:
    if settings:
        use_settings(lambda: settings)
    return body(*args)
