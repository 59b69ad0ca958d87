"""What the driver needs to know of a SparkContext, and what it does with it: slots, code, jobs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

import minicaffe
from minicaffe.errors import ClusterError

T = TypeVar("T")

REGISTERING = 4.0  # seconds without a new executor after which no more are expected
STARTING = 60.0  # seconds that an application may take to get the executors it has asked for
CANCELLING = 15.0  # seconds that Spark may take to end a cancelled job's tasks

LOST = "was lost"

ROOMS = ("layers", "kernels", "distributed")

_ERROR = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Interrupt|Exit|Extra|Refused)): (.*)", re.M)
_OWN_ERROR = re.compile(r"^minicaffe\.errors\.\w+: ", re.M)


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


def await_slots(sc: Any, ranks: int) -> None:
    """Wait for slots for so many ranks, as long as executors are expected or arriving.

    Spark itself would retry for ten minutes. Raises ClusterError.
    """
    slots, since = count_slots(sc), time.monotonic()
    most = count_slots(sc) if is_local(sc) else expected_slots(sc)
    while slots < ranks and (most is None or most >= ranks):
        time.sleep(0.1)
        now, found = time.monotonic(), count_slots(sc)
        if found != slots:
            slots, since = found, now
        young = time.time() - sc.startTime / 1000 < STARTING
        awaited = young and (slots == 0 or most is not None)
        if now - since > REGISTERING and not awaited:
            break
    if slots >= ranks:
        return
    if most is not None and most >= ranks:
        raise ClusterError(
            f"{ranks} ranks are asked for, executors with slots for {slots} have come so far,"
            f" those for {most} were expected: see the cluster's log, or try again"
        )
    slots = max(slots, most or 0)
    where = sc.master if is_local(sc) else "the cluster"
    raise ClusterError(
        f"{ranks} ranks are asked for, {where} has slots for {slots}:"
        f" use -clusterSize {max(slots, 1)} or add executors"
    )


def check_settings(sc: Any) -> None:
    """Refuse the Spark settings with which a barrier job cannot live. Raises ClusterError."""
    conf = sc.getConf()
    if conf.get("spark.dynamicAllocation.enabled", "false").lower() == "true":
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
    return conf.get("spark.driver.bindAddress", host), host


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


# --- code ----------------------------------------------------------------------------------------


def ship_code(sc: Any) -> None:
    """Make minicaffe importable on the executors, once a context, if --py-files does not.

    Executors on this machine run this Python, unless the user has named one.
    """
    named = "PYSPARK_PYTHON" in os.environ or sc.getConf().get("spark.pyspark.python")
    if sc.master.startswith("local") and not named:
        sc.pythonExec = sys.executable
    if ".zip" in str(minicaffe.__file__) or getattr(sc, "_minicaffe_shipped", False):
        return
    sc.addPyFile(str(package_zip(Path(tempfile.mkdtemp(prefix="minicaffe-")))))
    sc._minicaffe_shipped = True


def package_zip(folder: Path) -> Path:
    """This package as a zip, the rooms under their import names; its name tells the content."""
    files: dict[str, bytes] = {}
    for room in ("", *ROOMS):
        package = importlib.import_module("minicaffe" + (f".{room}" if room else ""))
        root = Path(next(iter(package.__path__)))
        for path in sorted(root.rglob("*.py")):
            name = Path("minicaffe", room, path.relative_to(root)).as_posix()
            files[name] = path.read_bytes()
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    target = folder / f"minicaffe-{minicaffe.__version__}-{digest}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target


# --- jobs ----------------------------------------------------------------------------------------


class Job(Generic[T]):
    """A Spark job in a thread and a job group of its own, so that it can be watched and cancelled.

    `name` stands in the Spark UI as the job's name, `description` beside it.
    """

    def __init__(self, sc: Any, name: str, description: str, work: Callable[[], T]) -> None:
        from pyspark import InheritableThread

        self.sc = sc
        self.group = f"{name} {os.urandom(4).hex()}"
        self._name = name
        self._description = description
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._thread = InheritableThread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.sc.setJobGroup(self.group, self._description, interruptOnCancel=True)
            with _call_site(self.sc, self._name):
                self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long for the end; whether it has come."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What the work gave, when it is done. Raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def cancel(self) -> None:
        """End the job's tasks on all executors; they are gone, or so is patience, on return."""
        with contextlib.suppress(Exception):
            self.sc.cancelJobGroup(self.group)
        self._done.wait(CANCELLING)


def run_job(sc: Any, name: str, description: str, work: Callable[[], T], debug: bool) -> T:
    """Run a job and give its result; an interrupt cancels it.

    Raises ClusterError, or the minicaffe error of a task, in one line; with `debug` as it comes.
    """
    job = Job(sc, name, description, work)
    try:
        while not job.wait(0.2):
            pass
        return job.result()
    except KeyboardInterrupt:
        job.cancel()
        raise
    except Exception as error:
        if debug:
            raise
        raise ClusterError(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """The line of a Spark error, many pages long as it is, that tells the cause."""
    text = str(error)
    if "barrier ResultStage" in text or "ExecutorLostFailure" in text:
        lost = re.search(r"ResultTask\(\d+, (\d+)\)", text)
        why = re.search(r"ExecutorLostFailure \(([^\n]*?)\)? Reason: ([^\n]*)", text)
        crashed = "Python worker exited unexpectedly" in text
        who = f"rank {lost.group(1)}" if lost else "a rank"
        if why:
            return f"{who} {LOST} with its executor: {why.group(2).strip()}"
        if crashed and not _OWN_ERROR.search(text):
            return death_of(who)
    found = _OWN_ERROR.search(text)
    if found:
        rest = text[found.end() :]
        return re.split(r"\n\s*\n|\n\s*at |\n\t", rest, maxsplit=1)[0].strip()
    causes = _ERROR.findall(text)
    python = [(kind, message) for kind, message in causes if not kind.startswith("Py4J")]
    if python:
        kind, message = python[-1]
        if kind in ("ImportError", "ModuleNotFoundError"):
            message += " (on an executor: PYSPARK_PYTHON names the Python that runs there)"
        return f"{kind}: {message.strip()}"
    java = re.search(r"^: (?:[\w$]+\.)*[\w$]+: (.*)", text, re.MULTILINE)
    if java:
        return java.group(1).strip()
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def death_of(rank: str) -> str:
    """The line that tells of a rank whose process is gone while its executor lives."""
    return f"{rank} {LOST}: its Python process died"


def is_loss(reason: str) -> bool:
    """Whether `reason_of` tells of a process that is gone, which can say nothing for itself."""
    return LOST in reason


@contextlib.contextmanager
def _call_site(sc: Any, name: str) -> Iterator[None]:
    """Name the jobs that are started inside."""
    from pyspark.traceback_utils import SCCallSiteSync

    with SCCallSiteSync(sc):  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            sc._jsc.setCallSite(name)
        yield
