"""The contract of a layer, and the door through which a net finds one by its prototxt type."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Literal

from .aliases import install_as_caffe
from .blob import Blob, BlobList
from .device import load_kernel, missing_families
from .door import hidden_by, open_module, users_module
from .errors import Error, LayerError, did_you_mean, shown
from .proto import minicaffe_pb2 as pb
from .python_blob import PythonBlobs

# How the pixels of a top lie over those of its bottom: one over one; each over a window; a window
# over each; over a part of them (minicaffe/pycaffe/coord_map.py).
Positions = Literal["kept", "windows", "spread", "cut"]


class Layer:
    """A node of the net: pycaffe's Python layer, word for word; built-in layers are the same.

    An implementer defines
        setup(bottom, top)       once: read `self.param`, create parameters in `self.blobs`
        reshape(bottom, top)     before every forward: give the tops their shapes, allocate scratch
        forward(bottom, top)     compute the tops' data from the bottoms' data
        backward(top, propagate_down, bottom)
                                 from the tops' diff: overwrite the diff of each bottom that
                                 `propagate_down` marks, add to the diff of the parameters
    and states the class attributes below. A layer has no loops over elements: those are kernels,
    of the families that `kernels` names. The layer runs on the device if all of them are there,
    else on the CPU; `self.ops` has the functions of the first, `self.ops_of(family)` of each.

    A layer of type "Python" may give its own attributes any name, as in pycaffe: of it a net asks
    nothing but the four methods, `blobs` and `param_propagate_down` (`Node.kind`). Its `kernels`
    count where they are a tuple of families that there are.
    """

    kernels: ClassVar[tuple[str, ...]] = ()  # every kernel family it uses
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)  # how many, at least and at most
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    equal_bottom_top: ClassVar[bool] = False  # as many tops as bottoms
    automatic_tops: ClassVar[int] = 0  # tops that the prototxt may leave out
    default_loss_weight: ClassVar[float] = 0.0  # of top 0, where the prototxt says nothing
    in_place: ClassVar[bool] = True  # False: a top must not be its bottom
    checked_bottom: ClassVar[int | None] = None  # whose values `check` looks at
    runs_back: bool = True  # False in a net that never does: nothing is kept for backward

    # What others ask of a type: the class, never a layer, on which a student's code may have set
    # anything. Fields are named "data_param.source".
    parameters: ClassVar[str | None] = None  # "convolution": reads convolution_param; None: its own
    needs_no_input: ClassVar[bool] = False  # has no bottoms and yet brings no samples in
    reads: ClassVar[tuple[str, ...]] = ()  # fields that are paths of data
    small_files: ClassVar[tuple[str, ...]] = ("transform_param.mean_file",)  # that travel with jobs
    writes: ClassVar[tuple[str, ...]] = ()  # fields that are paths of files it makes
    positions: ClassVar[Positions | None] = None  # where the pixels of a top lie over a bottom's
    moves: ClassVar[bool] = False  # copies values, without arithmetic
    shares: ClassVar[bool] = False  # its tops have its bottoms' memory: nothing moves in forward
    needs_top: ClassVar[bool] = False  # the bottoms' gradients are taken from the tops' data
    needs_bottom: ClassVar[bool] = False  # in place too, where that is lost, from the bottoms' data
    repeats: ClassVar[bool] = False  # may give a value several times; backward sums what comes back
    steady: ClassVar[bool] = (
        False  # forward of TEST: kernel calls alone, the same on the same arrays
    )
    multiplies: ClassVar[bool] = False  # its work is products with its parameters

    def __init__(self, param: Any, device: str | None = None, phase: int = pb.TRAIN) -> None:
        if device is None:  # a Python layer's own __init__ calls, as in pycaffe; it is made already
            return
        self.param = param
        self.name: str = param.name
        self.type: str = param.type
        self.phase = phase
        self.blobs = BlobList()
        self.param_propagate_down: list[bool] = []
        self.param_str: str = param.python_param.param_str
        families = _families(type(self), param.type)
        self.missing = missing_families(device, families)  # for want of which it is on the CPU
        self.device = "cpu" if self.missing else device
        self.ops: Any = load_kernel(families[0], self.device) if families else None

    def ops_of(self, family: str) -> Any:
        """The kernel functions of one of the families in `kernels`."""
        if family not in self.kernels:
            raise self.error(f"uses kernel family '{family}', its class names {self.kernels}")
        return load_kernel(family, self.device)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters and create the parameter blobs; called once."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes from those of the bottoms."""
        raise Layer._lacks(self, "reshape")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute the data of the tops."""
        raise Layer._lacks(self, "forward")

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Compute the diffs of the bottoms and add to those of the parameters."""
        if any(propagate_down):
            raise Layer.error(
                self, "has no gradient: it cannot stand between a loss and its parameters"
            )

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for values of `checked_bottom` that forward has found to be wrong.

        It is called at the end of a pass: in between, nobody waits for the device.
        """

    def allow_force_backward(self, index: int) -> bool:
        """Whether `force_backward` may ask for the gradient of this bottom."""
        return True

    def seek(self, batch: int) -> None:
        """Data layers: make the next forward give batch number `batch` of the run (from 0)."""

    def batch_axis(self, index: int) -> int:
        """Data layers: the axis of top `index` that counts the samples."""
        return 0

    def close(self) -> None:
        """Data layers: end threads and close files."""

    @classmethod
    def fed_by(cls, param: Any) -> tuple[str, str] | None:
        """Layers fed by a source that has a name: the `source_class` and the path; others: None."""
        return None

    def ways(self) -> tuple[str, ...]:
        """Which way its kernels go, where they know several; `minicaffe time` shows it.

        In words, for the tops, for the bottoms' gradients, and for those of the parameters.
        """
        return ()

    def reasons(self) -> tuple[str, ...]:
        """Why its kernels go these `ways`, in words; `minicaffe inspect` shows it."""
        return ()

    def bytes_kept(self) -> int:
        """Memory for what it has prepared from its parameters, for all forwards of phase TEST."""
        return 0

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """Operations of one forward: one for each value that it reads, none where it moves them."""
        kind = Layer if self.type == "Python" else type(self)  # as `Node.kind`
        if kind.moves or kind.shares:
            return 0
        return sum(blob.count() for blob in bottom or top)

    def values_read(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """Values that one forward reads: all of the bottoms and the parameters."""
        return sum(blob.count() for blob in (*bottom, *self.blobs))

    def rows_named(self, index: int, bottom: Sequence[Blob]) -> int:
        """How many rows the values of a bottom can name; 0 where they are plain values."""
        return 0

    def error(self, message: str) -> LayerError:
        """An error that names this layer: `raise self.error("kernel_size 0 ...")`."""
        return LayerError(f"layer '{self.name}' ({self.type}): {message}")

    def _lacks(self, method: str) -> LayerError:
        file = sys.modules[type(self).__module__].__file__ or type(self).__module__
        what = f"class {type(self).__name__} does not define {method}(bottom, top)"
        return Layer.error(self, f"layer {what}: add it in {shown(file)}")

    def axis(self, blob: Blob, axis: int, what: str = "axis") -> int:
        """The canonical form of an axis parameter; a LayerError where it does not exist."""
        try:
            return blob.canonical_axis(axis)
        except Error as error:
            raise self.error(f"{what}: {error}") from None

    def check_counts(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Raise LayerError unless the numbers of bottoms and tops fit the type.

        A layer of type Python takes any number: it checks for itself, in its setup.
        """
        if self.type == "Python":
            return
        for what, blobs, (least, most) in (("bottom", bottom, self.bottoms),
                                           ("top", top, self.tops)):  # fmt: skip
            if len(blobs) < least or (most is not None and len(blobs) > most):
                wanted = f"{least}" if most == least else f"at least {least}"
                if most is not None and most != least:
                    wanted = f"{least} to {most}"
                raise self.error(f"takes {wanted} {what} blob(s), the prototxt gives {len(blobs)}")
        if self.equal_bottom_top and len(bottom) != len(top):
            raise self.error(f"takes as many tops as bottoms, not {len(top)} for {len(bottom)}")
        if not self.in_place and any(mine is theirs for mine in top for theirs in bottom):
            raise self.error("cannot run in place: its top must not be its bottom")


class LossLayer(Layer):
    """A layer that ends in a loss: predictions and labels in, a scalar out, weighted by 1.

    The loss weight arrives as the top's diff, so backward multiplies by `top[0].diff`.
    """

    bottoms = (2, 2)
    automatic_tops = 1
    default_loss_weight = 1.0

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that both bottoms have the same number of items; the top is a scalar."""
        if bottom[0].shape[:1] != bottom[1].shape[:1]:
            raise self.error(
                "predictions and labels must agree in their first axis, "
                f"their shapes are {bottom[0].shape} and {bottom[1].shape}"
            )
        top[0].reshape(())

    def allow_force_backward(self, index: int) -> bool:
        """Labels have no gradient."""
        return index != 1


def is_file_of(module: str, name: str) -> bool:
    """Whether a module is where the class of that name belongs: its name in snake case.

    "SoftmaxWithLoss" belongs in `softmax_with_loss`, "PReLU" in `prelu`: capitals do not tell where
    words begin, so underscores do not count, but for one in front, which hides a module.
    """
    return not module.startswith("_") and module.replace("_", "") == name.lower()


@cache
def known_types() -> dict[str, str]:
    """The built-in layer types and the modules that hold them, read from the files' text."""
    package = importlib.import_module("minicaffe.layers")
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for name in re.findall(r"^class (\w+)Layer\(", source_of(module), re.MULTILINE):
            if is_file_of(module.name, name):
                found[name] = module.name
    return dict(sorted(found.items()))


def parameter_field(layer_type: str) -> str | None:
    """The field of LayerParameter that holds a type's parameters, None if it has none.

    It is the one that the type's class names, or else the one whose message has the type's name.
    """
    named = layer_class(layer_type).parameters
    if named is not None:
        return f"{named}_param"
    for name, field in pb.LayerParameter.DESCRIPTOR.fields_by_name.items():
        if field.message_type is not None and field.message_type.name == f"{layer_type}Parameter":
            return name
    return None


def source_of(module: pkgutil.ModuleInfo) -> str:
    """The text of a module, which is not imported; it may lie in a zip."""
    spec = module.module_finder.find_spec(module.name, None)
    loader: Any = spec and spec.loader
    return loader.get_source(module.name) or ""


def layer_type_list() -> list[str]:
    """The names of all layer types, `Python` among them."""
    return sorted([*known_types(), "Python"])


def layer_class(layer_type: str) -> type[Layer]:
    """The class of a built-in layer type; of any other type, `Python` too, Layer: its defaults."""
    if layer_type not in known_types():
        return Layer
    module = open_module(f"minicaffe.layers.{known_types()[layer_type]}", LayerError)
    found: type[Layer] = getattr(module, f"{layer_type}Layer")
    return found


def create_layer(param: Any, device: str, phase: int, folder: str = "") -> Layer:
    """The layer that a LayerParameter describes, not yet set up.

    The module of a Python layer may lie in `folder`, the prototxt's. Raises LayerError for an
    unknown type, with the nearest known ones.
    """
    if param.type == "Python":
        return _python_layer(param, device, phase, folder)
    types = known_types()
    if param.type not in types:
        near = difflib.get_close_matches(param.type, layer_type_list(), 3, 0.5)
        known = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(types)}, Python"
        raise LayerError(f"layer '{param.name}': unknown layer type '{param.type}' ({known})")
    return layer_class(param.type)(param, device, phase)


def _families(kind: type[Layer], layer_type: str) -> tuple[str, ...]:
    """The kernel families of a class; what a Python layer calls so may be something else."""
    families = kind.kernels
    if layer_type != "Python":
        return families
    names = isinstance(families, tuple) and all(isinstance(name, str) for name in families)
    return families if names and not missing_families("cpu", families) else ()


def _python_layer(param: Any, device: str, phase: int, folder: str) -> Layer:
    """A layer of a user's class, whose own __init__ takes one argument, as in pycaffe."""
    kind = _python_class(param, folder)
    layer = kind.__new__(kind)
    Layer.__init__(layer, param, device, phase)
    layer.blobs = PythonBlobs()
    if kind.__init__ is not Layer.__init__:
        kind.__init__(layer, param)
        layer.param_str, layer.phase = param.python_param.param_str, phase
    return layer


def _python_class(param: Any, folder: str) -> type[Layer]:
    wanted = param.python_param
    asker = f"layer '{param.name}' (Python)"
    if not wanted.module or not wanted.layer:
        raise LayerError(f"{asker}: python_param must name a module and a layer")
    install_as_caffe()  # layers written for pycaffe say `import caffe`
    module = users_module(wanted.module, folder, LayerError, asker)
    found = getattr(module, wanted.layer, None)
    if not (isinstance(found, type) and issubclass(found, Layer)):
        values = vars(module).items()
        classes = [
            name
            for name, value in values
            if isinstance(value, type) and issubclass(value, Layer) and value is not Layer
        ]
        raise LayerError(
            f"{asker}: {wanted.module}.{wanted.layer} is not a class derived from minicaffe.Layer"
            f" ({shown(module.__file__ or wanted.module)} has: {', '.join(classes) or 'none'})"
            f"{did_you_mean(wanted.layer, classes)}{hidden_by(module, folder)}"
        )
    return found
