"""Executors that do not answer: Spark still counts their slots, and nothing would run there.

Where a machine is cut off, Spark's driver believes in its executors for two minutes, and sends the
next generation's tasks to them. But one that lives ends a cancelled task within seconds, however
the task hangs: it kills its Python process. So who does not is given up, by Spark's own means: its
slots count no more, and when the machine can be reached again its Worker starts a new executor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..slots import is_local
from ..spark_job import reason_of

ENDING = 10.0  # seconds that an executor has to end the tasks of a cancelled job


def give_up_silent(sc: Any, group: str, say: Callable[[str], None]) -> None:
    """Wait until a cancelled job's tasks have ended; executors on which they do not are given up.

    group: the job's. say: tells the user of each that is given up.
    """
    if is_local(sc):  # there is no executor but this process
        return
    until = time.monotonic() + ENDING
    while busy := set(_at_work(sc, group)):
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    for name in sorted(busy):
        who = f"executor {name} on {_host_of(sc, name)} does not answer"
        try:
            given_up = sc._jsc.sc().killAndReplaceExecutor(name)
        except Exception as error:  # by Py4J, of any kind
            say(f"{who}, and Spark does not give it up: {reason_of(error)}")
            continue
        if given_up:  # it is not gone already
            say(f"{who}: it is given up")


def _at_work(sc: Any, group: str) -> Iterator[str]:
    """The executors on which tasks of a group's jobs still run, by Spark's names of them."""
    store = sc._jsc.sc().statusStore()
    tracker = sc.statusTracker()
    for job in tracker.getJobIdsForGroup(group):
        found = tracker.getJobInfo(job)
        for stage in found.stageIds if found else ():
            with contextlib.suppress(Exception):  # a stage that has not begun has no tasks
                tasks = store.taskList(stage, 0, 1 << 20)
                for index in range(tasks.size()):
                    if tasks.apply(index).status() == "RUNNING":
                        yield tasks.apply(index).executorId()


def _host_of(sc: Any, name: str) -> str:
    with contextlib.suppress(Exception):  # Spark has forgotten it
        address = sc._jsc.sc().statusStore().executorSummary(name).hostPort()
        return str(address).rpartition(":")[0]
    return "?"
