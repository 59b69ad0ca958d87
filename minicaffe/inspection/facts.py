"""The inspector's data: one `Page`, from the prototxt's lines to machine instructions.

Times are milliseconds, sizes bytes, lines count from 1; files are named from the folder that holds
the rooms: "layers/relu.py", "minicaffe/layer.py". Text that tells why something is not there stands
in `missing`, in the place where it would be.

    Page -> Layer -> Call (a function of a kernel family) -> Kernel -> Listing -> Form -> Row

`as_json.py` makes JSON of it and reads that again; a field `pass_` is "pass" there. Each device
folder may have the door `kernels/<device>/_inspect.py`, which gives what only it can know:

    calls()          context manager that yields a list, which fills with a `KernelCall` for each
                     kernel that runs inside, in order
    listing(call)    the `Listing` of such a call's kernel, with `missing` where it cannot be had
    forms()          the names of what this device can show here: ("asm", "llvm"), ("ptx", "sass")
                     or, of the device reference, ("numpy",): the array operations of a line
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .net_facts import Graph, MemoryPlan, Pass, Roofline

VERSION = 1  # of the data; it changes when a reader of JSON would have to

Bound = Literal["", "memory", "arithmetic"]
Kind = Literal[
    "vector", "multiply-add", "memory", "stack", "address", "branch", "label", "call", "other"
]


# ---- what kernels tell: the code of one, compiled for the types of a call -----------------------


@dataclass(frozen=True)
class KernelCall:
    """A kernel that ran: "relu._rectify", with the types that it was compiled for.

    `file` and `line` are those of its `def`; `ms` is how long it took; `detail` says how it was
    started ("grid 32, block 128", "2 threads"). `key` is the device's own: what `listing` needs.
    """

    kernel: str
    signature: str
    file: str
    line: int
    ms: float
    detail: str = ""
    key: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Row:
    """A line of a form, and the line of Python that it was made from (0: of none)."""

    text: str
    file: str = ""
    line: int = 0
    kind: Kind = "other"
    loop: int = -1  # number of the innermost loop that it is in
    note: str = ""  # what an instruction does, in words


@dataclass(frozen=True)
class Function:
    """A function of a form: rows `first` to `last`, from 0."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Loop:
    """A loop of a form: rows `first` to `last`, from 0; depth 1 is outermost, its parent -1.

    `counts`: "instructions", and of these "vector", "multiply-add", "memory" and "stack".
    """

    number: int
    depth: int
    parent: int
    first: int
    last: int
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """One of the texts that a kernel becomes, such as its machine code."""

    title: str
    rows: tuple[Row, ...]
    functions: tuple[Function, ...] = ()
    loops: tuple[Loop, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Listing:
    """A kernel with its source's lines and its forms by name: "asm", "llvm", "ptx", "sass", ..."""

    device: str
    kernel: str
    signature: str
    file: str
    first_line: int
    last_line: int
    forms: Mapping[str, Form] = field(default_factory=dict)
    missing: str = ""


# ---- a layer ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Histogram:
    """Finite values between `low` and `high`, counted in as many equal parts as `counts` has."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Stats:
    """Mean and standard deviation of the finite values; shares of all that are 0, or not finite."""

    mean: float
    std: float
    zeros: float
    non_finite: float
    histogram: Histogram


@dataclass(frozen=True)
class Array:
    """A blob or a parameter: its data, and its gradient where one was computed."""

    name: str
    shape: tuple[int, ...]
    stats: Stats
    gradient: Stats | None = None


@dataclass(frozen=True)
class Passes:
    """A number for forward and one for backward: operations, bytes or milliseconds."""

    forward: float
    backward: float


@dataclass(frozen=True)
class Kernel:
    """A kernel that a call ran: the key of its listing in the page, "" where there is none."""

    listing: str
    kernel: str
    ms: float
    detail: str = ""


@dataclass(frozen=True)
class Call:
    """A call of a kernel family's function: `file` and `line` are those of its `def`."""

    pass_: Pass
    device: str
    family: str
    function: str
    file: str
    line: int
    arguments: tuple[str, ...]  # "x (64, 20, 24, 24) float32", "slope 0.1"
    ms: float
    kernels: tuple[Kernel, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer of the net; `missing` has, by device, why it did not run there."""

    name: str
    type: str
    first: int  # of its lines in the prototxt; 0 where the net put it in
    last: int
    inserted: bool
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    doc: str
    file: str
    first_line: int
    last_line: int
    families: tuple[str, ...]
    params: tuple[Array, ...]
    blobs: tuple[Array, ...]  # its tops
    flops: Passes
    bytes: Passes
    ms: Passes
    gflops: float  # a second
    share_of_roof: float
    bound_by: Bound
    way: str = ""
    fused: str = ""  # the name of its FusedGroup
    calls: tuple[Call, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


# ---- the net ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """How the page was made; `missing`: by device, why it could not be asked.

    `notes` are sentences that a reader must know: what was changed to inspect the net.
    """

    minicaffe: str
    processor: str
    vectors: str
    threads: int
    device: str
    devices: tuple[str, ...]
    phase: Literal["TRAIN", "TEST"]
    iterations: int
    batch: int = 0  # 0: as the prototxt says
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prototxt:
    """The net's file as it was read."""

    file: str
    text: str


@dataclass(frozen=True)
class FusedGroup:
    """Layers that run as one where nobody looks; the page shows them one by one, and this too."""

    name: str
    layers: tuple[str, ...]
    family: str
    file: str
    calls: tuple[Call, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A PNG, in base64, that shows something of a layer."""

    layer: str
    title: str
    png: str


@dataclass(frozen=True)
class Page:
    """All that the inspector knows of a net; `sources` has the text of each file that it names."""

    made: Made
    prototxt: Prototxt
    sources: Mapping[str, str]
    layers: tuple[Layer, ...]
    listings: Mapping[str, Listing]
    graph: Graph
    memory_plan: MemoryPlan
    fused_groups: tuple[FusedGroup, ...]
    roofline: Roofline
    pictures: tuple[Picture, ...] = ()
    update: tuple[Call, ...] = ()  # of the solver's rule, over all parameters
    version: int = VERSION
