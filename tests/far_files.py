"""An object store for tests: moto's S3, on a port of this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest


@contextmanager
def object_store() -> Iterator[str]:
    """An S3 with one bucket for the length of a `with` block; the URL of the bucket."""
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
