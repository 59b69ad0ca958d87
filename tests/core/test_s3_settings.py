"""Hadoop's settings of S3, as what s3fs takes."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from minicaffe.errors import DataError
from minicaffe.machine.s3_settings import S3Settings, arguments, chosen, use_settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    use_settings(None)
    yield
    use_settings(None)


def found(settings: dict[str, str], bucket: str = "lab") -> dict[str, Any]:
    use_settings(lambda: S3Settings(settings))
    return arguments(bucket)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        ({"endpoint": "s3.amazonaws.com", "path.style.access": "false"}, {}),
        ({"access.key": "k", "secret.key": "s"}, {"key": "k", "secret": "s"}),
        ({"access.key": "k", "secret.key": "s", "session.token": "t"},
         {"key": "k", "secret": "s", "token": "t"}),
        ({"endpoint": "minio:9000"}, {"endpoint_url": "https://minio:9000"}),
        ({"endpoint": "minio:9000", "connection.ssl.enabled": "false"},
         {"endpoint_url": "http://minio:9000"}),
        ({"endpoint": "http://minio:9000", "connection.ssl.enabled": "true"},
         {"endpoint_url": "http://minio:9000"}),
        ({"endpoint.region": "eu-west-1"}, {"client_kwargs": {"region_name": "eu-west-1"}}),
        ({"path.style.access": "True"}, {"config_kwargs": {"s3": {"addressing_style": "path"}}}),
        ({"aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"},
         {"anon": True}),
    ],
)  # fmt: skip
def test_what_s3fs_takes(settings: dict[str, str], expected: dict[str, Any]) -> None:
    assert found(settings) == expected


def test_a_bucket_may_have_settings_of_its_own() -> None:
    settings = {"access.key": "k", "secret.key": "s", "endpoint": "one",
                "bucket.lab.endpoint": "two", "bucket.lab.secret.key": "t",
                "bucket.laboratory.access.key": "x"}  # fmt: skip
    assert found(settings) == {"key": "k", "secret": "t", "endpoint_url": "https://two"}
    assert found(settings, "b") == {"key": "k", "secret": "s", "endpoint_url": "https://one"}


@pytest.mark.parametrize(("given", "missing"), [("access.key", "secret.key"),
                                                ("secret.key", "access.key")])  # fmt: skip
def test_half_a_pair_of_keys_is_refused(given: str, missing: str) -> None:
    line = f"s3a://lab: fs.s3a.{given} is set, and fs.s3a.{missing} is not"
    with pytest.raises(DataError, match=line) as error:
        found({given: "hidden"})
    assert "hidden" not in str(error.value)


def test_settings_are_never_shown_and_travel() -> None:
    settings = chosen({"fs.s3a.secret.key": "hidden", "fs.s3a.bucket.b.access.key": "hidden",
                       "fs.s3a.threads.max": "9", "fs.defaultFS": "hdfs://x"})  # fmt: skip
    assert repr(settings) == str(settings) == "S3Settings(bucket.b.access.key, secret.key)"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_those_of_the_site_hold_where_nobody_gives_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert arguments("lab") == {}
    monkeypatch.setenv("THE_KEY", "k")
    site = tmp_path / "core-site.xml"
    site.write_text(
        """<?xml version="1.0"?><configuration>
        <property><name>fs.s3a.access.key</name><value>${env.THE_KEY}</value></property>
        <property><name>fs.s3a.secret.key</name><value>${env.NO_SUCH_KEY:-s}</value></property>
        <property><name>fs.defaultFS</name><value>hdfs://x</value></property>
        </configuration>"""
    )
    assert arguments("lab") == {"key": "k", "secret": "s"}
    assert found({}) == {}
    use_settings(None)
    site.write_text("<configuration>")
    with pytest.raises(DataError, match="core-site.xml: cannot be read"):
        arguments("lab")
