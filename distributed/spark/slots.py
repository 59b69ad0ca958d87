"""What the driver needs to know of a SparkContext: slots, settings, addresses, the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from minicaffe.errors import ClusterError
from minicaffe.monitor.waiting import Waiting

REGISTERING = 4.0  # seconds without a new executor after which no more are expected
SETTLING = 5.0  # seconds that a lost executor's successor has before a run goes on without it


def is_local(sc: Any) -> bool:
    """Whether driver and executors are one process, on one disk."""
    return bool(re.fullmatch(r"local(\[.*\])?", sc.master))


def count_slots(sc: Any) -> int:
    """How many tasks can run at once on the executors that there are now."""
    jsc = sc._jsc.sc()
    profile = jsc.resourceProfileManager().defaultResourceProfile()
    return int(jsc.maxNumConcurrentTasks(profile))


def expected_slots(sc: Any) -> int | None:
    """How many slots there will be when all executors that were asked for are there, if known."""
    conf = sc.getConf()
    cpus = int(conf.get("spark.task.cpus", "1"))
    found = re.fullmatch(r"local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,.*", sc.master)
    if found:
        return int(found[1]) * (int(found[2]) // cpus)
    instances = conf.get("spark.executor.instances")
    if instances:
        return int(instances) * (int(conf.get("spark.executor.cores", "1")) // cpus)
    cores = conf.get("spark.cores.max")
    return int(cores) // cpus if cores else None


def await_slots(sc: Any, ranks: int, wait: float) -> None:
    """Wait for slots for so many ranks, as long as executors are expected or arriving.

    An application may take `wait` seconds to get the executors that it has asked for. Spark itself
    would retry for ten minutes. Raises ClusterError.
    """
    slots, since = count_slots(sc), time.monotonic()
    began = since
    most = count_slots(sc) if is_local(sc) else expected_slots(sc)
    with screen() as stream, contextlib.closing(Waiting("waiting for executors", stream)) as line:
        while slots < ranks and (most is None or most >= ranks):
            time.sleep(0.1)
            now, found = time.monotonic(), count_slots(sc)
            if found != slots:
                slots, since = found, now
            facts = f"slots for {slots} of {ranks} ranks"
            line.show(facts)
            young = now - began < wait
            awaited = young and (slots == 0 or most is not None)
            if now - since > REGISTERING and not awaited:
                break
    if slots >= ranks:
        return
    if most is not None and most >= ranks:
        raise ClusterError(
            f"{ranks} ranks are asked for, executors with slots for {slots} have come so far,"
            f" those for {most} were expected: see the cluster's log, or wait longer (-wait {wait})"
        )
    slots = max(slots, most or 0)
    where = sc.master if is_local(sc) else "the cluster"
    raise ClusterError(
        f"{ranks} ranks are asked for, {where} has slots for {slots}:"
        f" use -clusterSize {max(slots, 1)} or add executors"
    )


def slots_after_fault(sc: Any, wanted: int, least: int, wait: float) -> int:
    """How many ranks can go on: all, or after a while as many as there are slots for.

    Raises ClusterError where after `wait` seconds there are slots for fewer than `least`.
    """
    began = time.monotonic()
    with screen() as stream, contextlib.closing(Waiting("waiting for executors", stream)) as line:
        while (slots := count_slots(sc)) < wanted:
            passed = time.monotonic() - began
            if slots >= least and passed > SETTLING:
                break
            if passed > wait:
                raise ClusterError(
                    f"{least} ranks must go on, and after {wait} s there are slots for {slots}:"
                    " add executors, wait longer (-wait), or allow fewer ranks (-minRanks)"
                )
            line.show(f"slots for {slots} of {wanted} ranks")
            time.sleep(0.1)
    return min(slots, wanted)


def grows(sc: Any) -> bool:
    """Whether Spark starts and ends executors as the work asks for (dynamic allocation)."""
    return bool(sc.getConf().get("spark.dynamicAllocation.enabled", "false").lower() == "true")


def check_settings(sc: Any) -> None:
    """Refuse the Spark settings with which a barrier job cannot live. Raises ClusterError."""
    conf = sc.getConf()
    if grows(sc):
        raise ClusterError(
            "spark.dynamicAllocation.enabled: ranks cannot come and go, a training needs a fixed"
            " number of executors: set it to false"
        )
    kill = conf.get("spark.python.worker.killOnIdleTimeout", "false").lower() == "true"
    idle = conf.get("spark.python.worker.idleTimeoutSeconds", "0")
    if kill and idle not in ("0", "0s"):
        raise ClusterError(
            f"spark.python.worker.idleTimeoutSeconds={idle} with killOnIdleTimeout would end a rank"
            " in the middle of its training, since it returns nothing before the end: unset them"
        )


def driver_addresses(sc: Any) -> tuple[str, str]:
    """The address on which the driver listens, and the one under which executors know it."""
    conf = sc.getConf()
    host = conf.get("spark.driver.host")
    bind = conf.get("spark.driver.bindAddress", host)
    return bind.strip("[]"), host.strip("[]")  # Spark writes IPv6 in brackets


@contextlib.contextmanager
def screen() -> Iterator[TextIO]:
    """Where the user looks: the terminal behind spark-submit, or standard error."""
    stream = terminal()
    try:
        yield stream or sys.stderr
    finally:
        if stream is not None:
            stream.close()


def terminal() -> TextIO | None:
    """The user's terminal where spark-submit stands between it and this process, which has pipes.

    None where standard error is right: it is a terminal itself, or the user has none.
    """
    if sys.stderr.isatty() or "PYSPARK_GATEWAY_PORT" not in os.environ:
        return None
    try:
        name = os.readlink(f"/proc/{os.getppid()}/fd/2")
        stream = open(name, "w", encoding="utf-8") if name.startswith("/dev/") else None  # noqa: SIM115
    except OSError:
        return None
    if stream is not None and not stream.isatty():
        stream.close()
        return None
    return stream
