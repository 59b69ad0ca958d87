"""A real HDFS for tests: NameNode and DataNode 2.7.3 on ports of this machine.

Their jars are in PySpark 2.4.8's source distribution (220 MB), which pip brings once.
"""

import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from minicaffe.errors import Error
from minicaffe.machine.file_system import remove_file, upload
from minicaffe.machine.java import find_java

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicaffe-tests"
JARS = (
    "apacheds", "api-", "avro-1", "commons-", "curator", "gson", "guava", "hadoop-annotations",
    "hadoop-auth", "hadoop-common", "hadoop-hdfs", "htrace", "jackson-annotations", "jackson-core",
    "jackson-databind", "jackson-mapper-asl", "javax.servlet", "javax.ws", "jetty", "leveldbjni",
    "log4j", "netty", "paranamer", "protobuf-java", "slf4j", "snappy-java", "stax-api",
    "xercesImpl", "xmlenc", "xz", "zookeeper",
)  # fmt: skip
OPENS = [
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED"
      for name in ("java.lang", "java.nio", "java.util", "sun.nio.ch")),
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
]  # fmt: skip
SERVERS = "org.apache.hadoop.hdfs.server"
STARTING = 60.0  # seconds


@contextmanager
def hdfs(folder: Path) -> Iterator[str]:
    """An HDFS whose data lie in a folder; its URL. Skips where its jars cannot be had."""
    java = find_java()
    if java.version > 17:
        pytest.skip(f"this old Hadoop runs on Java 17 at most, here is {java.version}")
    ports = _free_ports(6)
    _write_settings(folder, ports)
    for name in ("hdfs", "datanode"):
        (folder / "webapps" / name).mkdir(parents=True)
    command = [str(java.home / "bin" / "java"), "-Xmx256m", *OPENS, "-cp", f"{folder}:{_jars()}/*"]
    name_node = [*command, f"{SERVERS}.namenode.NameNode"]
    with ExitStack() as servers, open(folder / "log", "wb") as log:
        subprocess.run([*name_node, "-format"], stdout=log, stderr=log, check=True, timeout=60)
        for line in (name_node, [*command, f"{SERVERS}.datanode.DataNode"]):
            server = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder)
            servers.callback(server.wait)
            servers.callback(server.terminate)
        url = f"hdfs://127.0.0.1:{ports[0]}"
        _await(url, folder)
        yield url


def _jars() -> Path:
    """The folder of the jars, filled when it is not there."""
    jars = CACHE / "hdfs-2.7.3"
    if jars.exists():
        return jars
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / "pyspark-2.4.8.tar.gz"
    if not archive.exists():
        line = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation",
                "--no-binary", "pyspark", "pyspark==2.4.8", "-d", str(CACHE)]  # fmt: skip
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode or not archive.exists():
            pytest.skip(f"pip cannot bring HDFS's jars: {done.stderr.strip()[-200:]}")
    beside = CACHE / f"hdfs-{os.getpid()}"
    beside.mkdir()
    with tarfile.open(archive) as content:
        for member in content:
            name = os.path.basename(member.name)
            if name.endswith(".jar") and name.startswith(JARS):
                file = content.extractfile(member)
                assert file is not None
                (beside / name).write_bytes(file.read())
    os.replace(beside, jars)
    return jars


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _write_settings(folder: Path, ports: list[int]) -> None:
    at = [f"127.0.0.1:{port}" for port in ports]
    settings = {
        "fs.defaultFS": f"hdfs://{at[0]}",
        "dfs.namenode.http-address": at[1],
        "dfs.namenode.secondary.http-address": at[2],
        "dfs.datanode.address": at[3],
        "dfs.datanode.ipc.address": at[4],
        "dfs.datanode.http.address": at[5],
        "dfs.namenode.name.dir": f"file://{folder}/names",
        "dfs.datanode.data.dir": f"file://{folder}/data",
        "dfs.namenode.rpc-bind-host": "127.0.0.1",
        "dfs.datanode.hostname": "localhost",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.replication": "1",
        "dfs.webhdfs.enabled": "false",
        "dfs.permissions.enabled": "false",
        "dfs.namenode.safemode.threshold-pct": "0",
    }
    lines = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>\n"
        for name, value in settings.items()
    )
    for name in ("core-site.xml", "hdfs-site.xml"):
        (folder / name).write_text(f'<?xml version="1.0"?><configuration>\n{lines}</configuration>')


def _await(url: str, folder: Path) -> None:
    """Return when a file can be written; fail with the servers' last words where none can."""
    until = time.monotonic() + STARTING
    while True:
        try:
            upload(folder / "core-site.xml", f"{url}/probe")
            remove_file(f"{url}/probe")
            return
        except Error:
            if time.monotonic() > until:
                pytest.fail(f"HDFS does not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.5)
