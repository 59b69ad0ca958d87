"""The options of CaffeOnSpark's command line, and what their values may be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from minicaffe.context import PRECISIONS
from minicaffe.errors import ClusterError, CommunicationError, did_you_mean

from ..choosing import AUTO
from ..ports import read_ports
from ..transport import known_schemes

# Words of -connection for transports; each other word is the scheme of one (distributed/transport).
CONNECTIONS = {"ethernet": "tcp", "infiniband": "rdma", "rdma": "rdma", "none": "", "auto": AUTO}
NUMBERED = ("none", "rdma", "ethernet")  # what the ancestor's API has numbers for, from 0

ON = ("true", "yes", "on", "1", "")
LEAST: dict[str, int] = {"number": 1, "top": 1, "count": 0}  # of kinds that are numbers
OFF = ("false", "no", "off", "0")

ON_NAN = ("stop", "go")  # when loss or gradients are not finite
EFFECTS = ("stop", "snapshot", "none")  # of a signal, as in Caffe
WORDS: dict[str, Sequence[str]] = {"effect": EFFECTS, "nan": ON_NAN, "precision": PRECISIONS}

Kind = Literal[
    "text",
    "number",
    "count",
    "top",
    "switch",
    "words",
    "connection",
    "effect",
    "nan",
    "ports",
    "precision",
]


@dataclass(frozen=True)
class Option:
    """A flag of the command line, and the attribute of Config that it sets."""

    attribute: str
    kind: Kind
    help: str


OPTIONS = {
    "conf": Option("protoFile", "text", "the solver's prototxt"),
    "train": Option("isTraining", "switch", "train, and write -model"),
    "test": Option("isTest", "switch", "write the mean of every output of the TEST net to -output"),
    "features": Option("features", "words", "blobs, by ',': write their values to -output"),
    "label": Option("label", "text", "the label's blob, which joins the -features"),
    "outputFormat": Option("outputFormat", "text", "of a data set: json (default), parquet, ..."),
    "model": Option("modelPath", "text", "the .caffemodel[.h5] to write (-train) or to read"),
    "output": Option("outputPath", "text", "where the result is written; must not exist yet"),
    "devices": Option("devices", "number", "devices a rank (1): a member of the ring for each"),
    "device": Option("device", "text", "with whose kernels: cpu (default), reference, ..."),
    "precision": Option(
        "precision", "precision", "of products on the device cuda: float32 (default), tf32"
    ),
    "persistent": Option("isRddPersistent", "switch", "for CaffeOnSpark's sake, without effect"),
    "snapshot": Option("snapshotStateFile", "text", "the .solverstate[.h5] to go on from"),
    "resume": Option("resume", "switch", "go on from the newest whole snapshot, if there is one"),
    "weights": Option("snapshotModelFile", "text", "the .caffemodel[.h5] to start from"),
    "connection": Option(
        "connection",
        "connection",
        "between the ranks: ethernet (default), infiniband, auto (the best there is), a transport",
    ),
    "sync": Option(
        "sync", "text", "how the ranks stay together: allreduce (default), sparknet ..."
    ),
    "bucket": Option("bucket", "text", "of the allreduce: auto (default), one, or bytes"),
    "compress": Option("compress", "text", "gradients on the wire: none (default), bf16, fp16"),
    "ring-mac": Option("ringMac", "switch", "sign every frame between the ranks"),
    "ring-crc": Option("ringCrc", "switch", "check every frame between the ranks by its CRC-32"),
    "resize": Option("resize", "switch", "scale pictures to the data layer's height x width"),
    "clusterSize": Option("clusterSize", "number", "how many ranks train (1)"),
    "lmdb_partitions": Option(
        "lmdb_partitions", "number", "tasks of -test, -features, tools (as many as run at once)"
    ),
    "wait": Option("wait", "number", "seconds to wait for executors (60)"),
    "timeout": Option("timeout", "number", "seconds without a sign of life of a rank (10)"),
    "minRanks": Option("minRanks", "count", "after a fault go on with so few (0: -clusterSize)"),
    "maxRestarts": Option("maxRestarts", "count", "faults in a row without progress (4)"),
    "ports": Option("ports", "ports", "where ranks and driver listen: 7000-7099 (any free ones)"),
    "sigint_effect": Option("sigint_effect", "effect", "of Ctrl-C: stop (default), snapshot, none"),
    "on_nan": Option("on_nan", "nan", "when the loss is not finite: stop (default), go"),
    "store": Option("store", "text", "the folder where DataFrames are written for the ranks"),
    "debug": Option("debug", "switch", "show tracebacks and Spark's log"),
    "imageRoot": Option("imageRoot", "text", "tools: the folder of pictures, or the LMDB"),
    "labelFile": Option("labelFile", "text", "tools: the list of pictures and labels"),
    "captionFile": Option("captionFile", "text", "tools: captions in COCO's JSON"),
    "captionLength": Option("captionLength", "number", "tools: words a caption (20)"),
    "vocabSize": Option("vocabSize", "top", "tools: how many of the commonest words (-1, all)"),
    "imageCaptionDFDir": Option("imageCaptionDFDir", "text", "tools: below -output, captions"),
    "vocabDir": Option("vocabDir", "text", "tools: below -output, the vocabulary"),
    "embeddingDFDir": Option("embeddingDFDir", "text", "tools: below -output, pictures and ids"),
}

# The attributes of Config that may be set, and the option that says what each may hold.
SETTABLE = {option.attribute: (f"-{name}", option.kind) for name, option in OPTIONS.items()}
SETTABLE["transform_thread_per_device"] = ("transform_thread_per_device", "number")
SETTABLE["isFeature"] = ("isFeature", "switch")


def parse(args: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """The values of the options in `args`, by the attributes that they set. Raises ClusterError."""
    if isinstance(args, Mapping):
        given = [(_known(str(word)), value) for word, value in args.items()]
    elif isinstance(args, str):
        raise ClusterError(f"'{args}': a list of words is expected, or a dict")
    else:
        given = list(_pairs(args))
    return {OPTIONS[name].attribute: checked(OPTIONS[name].attribute, v) for name, v in given}


def checked(attribute: str, value: Any) -> Any:
    """A value as the attribute of Config holds it. Raises ClusterError for what it cannot hold."""
    name, kind = SETTABLE[attribute]
    if kind == "switch":
        return _switch(name, value)
    if kind in LEAST:
        return _number(name, value, kind)
    if kind == "words":
        return _words(name, value)
    if kind == "connection":
        return _connection(name, value)
    if kind in WORDS:
        return _one_of(name, value, WORDS[kind])
    if kind == "ports":
        return _ports(name, value)
    return _text(name, value)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The options of a command line in turn, with what follows each."""
    ahead = iter(words)
    for word in ahead:
        if not isinstance(word, str) or not word.startswith("-"):
            raise ClusterError(f"'{word}': an option is expected here, and they begin with a dash")
        word, equals, given = word.partition("=")
        name = _known(word)
        if OPTIONS[name].kind == "switch":
            yield name, given if equals else True
            continue
        value = given if equals else next(ahead, None)
        if value is None:
            raise ClusterError(f"-{name} needs a value: {OPTIONS[name].help}")
        yield name, value


def _known(word: str) -> str:
    name = word.lstrip("-")
    if name not in OPTIONS:
        hint = did_you_mean(f"-{name}", [f"-{known}" for known in OPTIONS])
        known = f" (known: {', '.join(OPTIONS)})"
        raise ClusterError(f"there is no option -{name}{hint or known}")
    return name


def _switch(name: str, value: Any) -> bool:
    word = str(value).lower() if isinstance(value, str | int) else value
    if word is None or word in OFF:
        return False
    if word in ON:
        return True
    raise ClusterError(
        f"{name} {value}: true or false is expected{did_you_mean(str(word), [*ON, *OFF])}"
    )


def _number(name: str, value: Any, kind: Kind) -> int:
    try:
        number = int(value) if isinstance(value, str) else value.__index__()
    except (AttributeError, ValueError):
        number = -2
    if isinstance(value, bool) or not (number >= LEAST[kind] or (kind == "top" and number == -1)):
        above = "" if kind == "count" else " above 0"
        also = ", or -1 for all, is expected" if kind == "top" else " is expected"
        raise ClusterError(f"{name} {value}: a whole number{above}{also}")
    return int(number)


def _one_of(name: str, value: Any, words: Sequence[str]) -> str:
    if value not in words:
        raise ClusterError(f"{name} {value}: one of {', '.join(words)} is expected")
    return str(value)


def _ports(name: str, value: Any) -> str:
    try:
        read_ports(_text(name, value))
    except CommunicationError as error:
        raise ClusterError(f"{name} {error}") from None
    return str(value)


def _text(name: str, value: Any) -> str:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise ClusterError(f"{name} {value!r}: a text is expected, not {type(value).__name__}")
    return text


def _words(name: str, value: Any) -> list[str]:
    """Words by ',' or in a sequence, each once; none for None."""
    words = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise ClusterError(f"{name} {value!r}: names are expected, in a list or by ','")
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def _connection(name: str, value: Any) -> str:
    known = list(dict.fromkeys([*CONNECTIONS, *known_schemes()]))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(NUMBERED):
        return NUMBERED[value]
    word = value.lower() if isinstance(value, str) else ""
    if word not in known:
        numbers = ", ".join(f"{number} {of}" for number, of in enumerate(NUMBERED))
        raise ClusterError(
            f"{name} {value}: there is no such connection{did_you_mean(word, known)}"
            f" (known: {', '.join(known)}, or by number {numbers})"
        )
    return word
