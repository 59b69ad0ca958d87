"""Hadoop's settings of S3, `fs.s3a.*`, as what s3fs takes: the ways to say keys and places.

Who runs a Spark job gives its session's (`use_settings`); else those of HADOOP_CONF_DIR's
core-site.xml hold. What they do not say, s3fs asks AWS's variables and files for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from ..errors import DataError

PREFIX = "fs.s3a."
OF_BUCKET = "bucket."  # fs.s3a.bucket.NAME.X is X for one bucket
SECRETS = ("access.key", "secret.key", "session.token")
NAMES = (
    *SECRETS, "endpoint", "endpoint.region", "path.style.access", "connection.ssl.enabled",
    "aws.credentials.provider",
)  # fmt: skip
AWS = ("", "s3.amazonaws.com")  # endpoints that say no more than that it is AWS
ANONYMOUS = "AnonymousAWSCredentialsProvider"


class S3Settings(dict[str, str]):
    """Names, without `fs.s3a.`, and values, which are never shown."""

    def __repr__(self) -> str:
        """The names alone: some values are secrets."""
        return f"S3Settings({', '.join(sorted(self))})"


_given: Callable[[], S3Settings] | None = None


def use_settings(settings: Callable[[], S3Settings] | None) -> None:
    """Ask this for the settings from now on, in this process; None: the site's are taken again."""
    global _given
    _given = settings


def arguments(bucket: str) -> dict[str, Any]:
    """What s3fs.S3FileSystem takes for a bucket. Raises DataError for half a pair of keys."""
    settings = _given() if _given is not None else site_settings()

    def value(name: str) -> str:
        own = settings.get(f"{OF_BUCKET}{bucket}.{name}", "").strip()
        return own or settings.get(name, "").strip()

    found: dict[str, Any] = {}
    key, secret, token = (value(name) for name in SECRETS)
    if bool(key) != bool(secret):
        given, missing = SECRETS[:2] if key else SECRETS[1::-1]
        raise DataError(f"s3a://{bucket}: {PREFIX}{given} is set, and {PREFIX}{missing} is not")
    if key:
        found |= {"key": key, "secret": secret}
        if token:
            found["token"] = token
    elif value("aws.credentials.provider").endswith(ANONYMOUS):
        found["anon"] = True
    if (endpoint := value("endpoint")) not in AWS:
        plain = value("connection.ssl.enabled").lower() == "false"
        scheme = "" if "://" in endpoint else "http://" if plain else "https://"
        found["endpoint_url"] = f"{scheme}{endpoint}"
    if region := value("endpoint.region"):
        found["client_kwargs"] = {"region_name": region}
    if value("path.style.access").lower() == "true":
        found["config_kwargs"] = {"s3": {"addressing_style": "path"}}
    return found


def site_settings() -> S3Settings:
    """Those of core-site.xml in HADOOP_CONF_DIR. Raises DataError for a file that is no XML."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    path = os.path.join(folder, "core-site.xml") if folder else ""
    if not path or not os.path.isfile(path):
        return S3Settings()
    from xml.etree import ElementTree

    try:
        properties = ElementTree.parse(path).getroot().iter("property")
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    pairs = ((each.findtext("name", ""), each.findtext("value", "")) for each in properties)
    return chosen({name: _expanded(value) for name, value in pairs})


def chosen(properties: dict[str, str]) -> S3Settings:
    """The settings among Hadoop's properties, without their prefix."""
    found = S3Settings()
    for name, value in properties.items():
        rest = name.strip().removeprefix(PREFIX)
        if rest != name.strip() and (rest in NAMES or rest.startswith(OF_BUCKET)):
            found[rest] = value
    return found


def _expanded(value: str) -> str:
    """`${env.NAME}` and `${env.NAME-default}` as Hadoop reads them."""
    return re.sub(
        r"\$\{env\.(\w+)(?::?-([^}]*))?\}", lambda m: os.environ.get(m[1], m[2] or ""), value
    )
