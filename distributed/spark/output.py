"""Where -test and -features write: -output, in -outputFormat, looked at before a training."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
from typing import Any

from minicaffe.errors import ClusterError, did_you_mean
from minicaffe.machine.file_system import check_far, exists, is_far
from minicaffe.machine.whole_file import whole_file

from .config import Config
from .frames.array_frame import array_frame
from .preflight import check_folder
from .session import Place, hadoop_place, java_cause
from .spark_job import reason_of, run_job

FORMATS = ("json", "parquet", "orc")  # in which Spark always writes columns of arrays
OTHERS = ("avro", "csv", "text", "xml")  # that a user may mean


def output_place(conf: Config) -> Place:
    """The -output, as a place of Hadoop. Raises ClusterError."""
    try:
        return hadoop_place(conf.sc, conf.outputPath)
    except Exception as error:
        raise _bad_output(conf, error) from None


def check_output(conf: Config) -> None:
    """Refuse an -output that exists or cannot be written."""
    if not conf.outputPath:
        raise ClusterError("no place for the result is given: -output PATH")
    if is_far(conf.outputPath) and not conf.isFeature:
        check_far(conf.outputPath, ClusterError)
        if exists(conf.outputPath):
            raise _there_already(conf)
        return
    path, system = output_place(conf)
    try:
        there = system.exists(path)
    except Exception as error:
        raise _bad_output(conf, error) from None
    if there:
        raise _there_already(conf)
    if system.getScheme() == "file":
        check_folder(os.path.dirname(path.toUri().getPath()), "-output")


def check_format(conf: Config) -> None:
    """Refuse an -outputFormat in which Spark cannot write features.

    Other formats than json, parquet and orc are tried: one row, beside the -output.
    """
    if conf.outputFormat.lower() in FORMATS:
        return
    path, system = output_place(conf)
    trial = conf.sc._jvm.org.apache.hadoop.fs.Path(f"{path}.{secrets.token_hex(4)}.trial")
    frame = array_frame([("", [0.0])], ["blob"], key="SampleID")
    try:
        frame.write.format(conf.outputFormat).save(str(trial))
    except Exception as error:
        if "DATA_SOURCE_NOT_FOUND" in str(error):
            others = {*FORMATS, *OTHERS} - {conf.outputFormat.lower()}
            reason = f"Spark has no such format{did_you_mean(conf.outputFormat.lower(), others)}"
        else:
            reason = re.sub(r"^\w+Exception: |\[[A-Z_.]+\] | SQLSTATE: \w+$", "", reason_of(error))
        raise ClusterError(
            f"-outputFormat {conf.outputFormat}: {reason} ({', '.join(FORMATS)} are always there)"
        ) from None
    finally:
        with contextlib.suppress(Exception):
            system.delete(trial, True)


def write_features(conf: Config, frame: Any) -> None:
    """Write a DataFrame of features to the -output, in the -outputFormat, and let it go."""
    path, _ = output_place(conf)
    writer = frame.write.format(conf.outputFormat)
    what = f"minicaffe: write the features to {conf.outputPath}"
    work = functools.partial(writer.save, str(path))
    run_job(conf.sc, "minicaffe features, write", what, work, conf.debug)
    frame.unpersist()


def write_test(conf: Config, result: dict[str, list[float]]) -> None:
    """A line an output: `accuracy: 0.99`; on the screen, and in a file of any file system."""
    lines = [f"{name}: {','.join(map(str, values))}" for name, values in result.items()]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if is_far(conf.outputPath):  # without Hadoop's jars for it
        with whole_file(conf.outputPath, ClusterError) as beside:
            beside.write_text(text, encoding="utf-8")
        return
    path, system = output_place(conf)
    if system.getScheme() == "file":  # Hadoop would lay a file of checksums beside it
        with open(path.toUri().getPath(), "x", encoding="utf-8") as file:
            file.write(text)
        return
    stream = system.create(path, False)
    stream.write(text.encode())
    stream.close()


def _there_already(conf: Config) -> ClusterError:
    return ClusterError(f"-output {conf.outputPath} exists already: give a new one, or remove it")


def _bad_output(conf: Config, error: Exception) -> ClusterError:
    return ClusterError(f"-output {conf.outputPath}: {java_cause(error)}")
