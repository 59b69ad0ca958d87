"""An object store for tests: moto's S3, on a port of this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

KEY, SECRET = "minicaffe-tests", "a-secret-of-tests-that-nobody-may-see"

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def object_store() -> Iterator[str]:
    """An S3 with one bucket for the length of a `with` block; the URL of the bucket.

    AWS's variables lead there: those that this process, and what it starts later, look at.
    """
    bucket = f"lab-{os.urandom(4).hex()}"  # all stores of a process have the same content
    server = pytest.importorskip("moto.server", reason="moto and flask-cors are not installed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    store = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    keys = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "NO_PROXY": "127.0.0.1",
    }
    try:
        with mock.patch.dict(os.environ, keys):
            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem(use_listings_cache=False).mkdir(bucket)
            yield f"s3a://{bucket}"
    finally:
        store.stop()


@contextmanager
def hadoops_store() -> Iterator[tuple[str, dict[str, str]]]:
    """An S3 in a process of its own; the URL of a bucket, and Hadoop's settings that lead there.

    No variable of AWS's does.
    """
    pytest.importorskip("moto.server", reason="moto and flask-cors are not installed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    bucket = f"lab-{os.urandom(4).hex()}"
    line = [sys.executable, "-c", SERVER]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            own = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=url)
            own.mkdir(bucket)
            yield (
                f"s3a://{bucket}",
                {
                    "fs.s3a.access.key": KEY,
                    "fs.s3a.secret.key": SECRET,
                    "fs.s3a.endpoint": url.removeprefix("http://"),
                    "fs.s3a.connection.ssl.enabled": "false",
                    "fs.s3a.path.style.access": "true",
                    f"fs.s3a.bucket.{bucket}.endpoint.region": "us-east-1",
                },
            )
        finally:
            server.kill()
