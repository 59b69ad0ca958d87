"""What would fail, before anything is tried: a table of a cluster, and of a training on it.

Each line is about one subject: what there is, or what is wrong and what to do about it. What needs
executors is asked of one task in each slot.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from minicaffe.errors import ClusterError, Error
from minicaffe.layer import layer_class
from minicaffe.machine.java import find_java

from ..auth import new_secret
from ..ports import read_ports
from . import portable
from .caffe_on_spark import has_validation
from .config import Config
from .control import ControlServer, one_address
from .preflight import plan_training
from .shipping.far_settings import carried
from .shipping.package_code import ship_code
from .slots import await_slots, check_settings, count_slots, driver_addresses
from .spark_job import run_job
from .submit import start_spark
from .supervision.checkup import LEAST_MEMORY, Condition, difference, look


@dataclass(frozen=True)
class Finding:
    """A line of the table."""

    subject: str
    well: bool
    words: str

    def __str__(self) -> str:
        """The line."""
        return f"{'ok  ' if self.well else 'FAIL'}  {self.subject:<9} {self.words}"


def examine(sc: Any, conf: Config) -> Iterator[Finding]:
    """All findings about a context, and about the training of a Config where it names a solver.

    What depends on something that has failed is left out.
    """
    java = find_java()
    yield Finding("java", True, f"{java.version}, {java.source}" if java else "of the cluster")
    yield Finding("spark", True, f"{sc.version}, {sc.master}")
    settings = _try("settings", lambda: check_settings(sc), "none that would end a training")
    yield settings
    layers: list[bytes] = []
    if conf.protoFile:
        yield _try("training", lambda: layers.extend(_planned(conf)), conf.protoFile)
    slots = _try("slots", lambda: await_slots(sc, conf.clusterSize, conf.wait), "")
    there = count_slots(sc)
    words = slots.words or f"for {there} ranks, {conf.clusterSize} are asked for"
    yield Finding("slots", slots.well, words)
    if there and settings.well:
        yield from _look(sc, conf, there, layers)


def main(given: dict[str, Any], master: str) -> bool:
    """Start Spark, print the table, end Spark; whether all is well. Raises ClusterError."""
    conf, well = Config(None, given), True
    sc = start_spark(False, master)
    try:
        conf.sc = sc
        for finding in examine(sc, conf):
            print(finding, flush=True)
            well &= finding.well
    finally:
        sc.stop()
    return well


def _try(subject: str, work: Callable[[], object], words: str) -> Finding:
    try:
        work()
    except (Error, OSError) as error:
        return Finding(subject, False, str(error))
    return Finding(subject, True, words)


def _planned(conf: Config) -> list[bytes]:
    """The layers of a training's nets that read data, when all that the driver sees is well."""
    tests = has_validation(conf.solverParameter)
    solver = plan_training(conf, tests).solver
    nets = [portable.train_net(solver), *([portable.test_net(solver)] if tests else [])]
    return [
        layer.SerializeToString()
        for net in nets
        for layer in net.layer
        if layer_class(layer.type).fed_by(layer)
    ]


def _look(sc: Any, conf: Config, tasks: int, layers: list[bytes]) -> Iterator[Finding]:
    """What a task in each slot finds."""
    ship_code(sc)
    bind, host = driver_addresses(sc)
    run, secret, ports = secrets.token_hex(4), new_secret(), read_ports(conf.ports)
    try:
        server = ControlServer(one_address(bind, host), run, 0, secret, ports=ports)
        with contextlib.closing(server):
            looks = functools.partial(look, (host, server.address[1]), run, secret, layers)
            ranks = sc.parallelize(range(tasks), tasks).barrier()
            work = ranks.mapPartitions(carried(sc, looks)).collect
            what = "minicaffe doctor"
            found: list[Condition] = run_job(sc, what, f"{what}: looks around", work, conf.debug)
    except ClusterError as error:
        yield Finding("executors", False, str(error))
        return
    hosts = sorted({each.host for each in found})
    yield Finding("executors", True, f"{tasks} tasks on {', '.join(hosts)}")
    differs = difference({f"rank {i} on {each.host}": each.versions
                          for i, each in enumerate(found)})  # fmt: skip
    same = ", ".join(f"{name} {number}" for name, number in found[0].versions.items())
    yield Finding("versions", not differs, differs or same)
    for subject, well in (("line", f"to the driver at {host}"), ("data", "can be read")):
        if subject == "data" and not layers:
            continue
        bad = next((each.problems[subject] for each in found if subject in each.problems), "")
        yield Finding(subject, not bad, bad or well)
    yield _cache(found)
    yield _memory(found)


def _cache(found: list[Condition]) -> Finding:
    folders = sorted({f"{each.cache} on {each.host}" for each in found})
    return Finding("cache", True, f"compiled kernels are kept in {', '.join(folders)}")


def _memory(found: list[Condition]) -> Finding:
    """The free memory of the machine that has the least for each of its tasks."""
    shares = []
    for host in {each.host for each in found}:
        free = [each.memory for each in found if each.host == host and each.memory is not None]
        if free:
            shares.append((min(free) // len(free), host))
    if not shares:
        return Finding("memory", True, "the executors' systems do not tell")
    least, host = min(shares)
    words = f"{least >> 20} MB free a rank on {host}"
    if least < LEAST_MEMORY:
        words += f": {LEAST_MEMORY >> 20} MB are little enough; give executors fewer cores"
    return Finding("memory", least >= LEAST_MEMORY, words)
