"""The call that a command line describes: FAMILY.FUNCTION NAME=VALUE ..."""

import ast
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...door import open_file, where
from ...errors import Error, did_you_mean
from .._commands import Parser

KERNEL_HELP = "FAMILY.FUNCTION of kernels/cuda, or FILE.py:FUNCTION, and its arguments NAME=VALUE"
_TYPES = ("float32", "int32", "uint8", "float64")


def add_call_words(parser: Parser, other: str = "") -> None:
    """The words of a call; `other` is what may stand there besides."""
    words = f"{other}|KERNEL" if other else "KERNEL"
    parser.add_argument("call", nargs="+", metavar=f"{words} [NAME=VALUE]", help=KERNEL_HELP)
    parser.flag("seed", "of the random numbers in arrays (default 0)", type=int, default=0)


def use_emulator() -> None:
    """Let the emulator that checks and counts be what runs kernels of `cuda`."""
    from ...device import check_available

    os.environ["MINICAFFE_CUDA"] = "emulate"
    check_available("cuda")


def call_of(words: Sequence[str], seed: int) -> Callable[[], Any]:
    """The call, with its arrays on the device. Raises Error for what cannot be understood."""
    name, *given = words
    function = _function(name)
    values = dict(_pair(word) for word in given)
    parameters = inspect.signature(function).parameters
    for unknown in values.keys() - parameters.keys():
        raise Error(f"{name} has no argument '{unknown}'{did_you_mean(unknown, parameters)}")
    random = np.random.default_rng(seed)
    arguments = {}
    for key, parameter in parameters.items():
        if key not in values:
            if parameter.default is inspect.Parameter.empty:
                wanted = " ".join(f"{each}=..." for each in parameters)
                raise Error(f"{name} needs '{key}': {name} {wanted}")
            continue
        kind = str(parameter.annotation)
        if "Sequence" in kind and "Array" in kind:
            arguments[key] = [_array(key, each, random) for each in values[key].split(",")]
        else:
            arguments[key] = (_array if "Array" in kind else _number)(key, values[key], random)

    def call() -> Any:
        try:
            return function(**arguments)
        except Error:
            raise
        except Exception as error:  # of the function, or of what it was given
            place = where(error.__traceback__, inspect.getsourcefile(function) or "")
            raise Error(f"{name}: {place}: {type(error).__name__}: {error}") from error

    return call


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise Error(f"'{word}': NAME=VALUE is expected, as in x=64x10 or slope=0.1")
    return name, value


def _function(name: str) -> Callable[..., Any]:
    file, colon, function = name.rpartition(":")
    if colon:
        if not os.path.isfile(file):
            raise Error(f"no file {file}")
        module = open_file(file)
    else:
        from ...device import load_kernel

        family, _, function = name.rpartition(".")
        if not family:
            raise Error(f"'{name}': FAMILY.FUNCTION is expected, as relu.forward")
        module = load_kernel(family, "cuda")
    found = getattr(module, function, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        raise Error(f"no function '{function}' in {file or family}{did_you_mean(function, known)}")
    launcher: Callable[..., Any] = found
    return launcher


def _array(name: str, words: str, random: np.random.Generator) -> Any:
    from ...device import load_kernel

    extents, _, kind = words.partition(":")
    kind = kind or "float32"
    if kind not in _TYPES:
        raise Error(f"{name}={words}: a type is one of {', '.join(_TYPES)}")
    try:
        shape = tuple(int(extent) for extent in extents.split("x"))
    except ValueError:
        raise Error(f"{name}={words}: a shape is expected, as 64x10 or 1000:int32") from None
    dtype = np.dtype(kind)
    numbers = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 10, shape)
    host = numbers.astype(dtype)
    memory = load_kernel("memory", "cuda")
    array = memory.allocate(-(-host.nbytes // 4), "cuda").view(dtype)[: host.size].reshape(shape)
    memory.upload(host, array)
    return array


def _number(name: str, words: str, random: np.random.Generator) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(words, words))
    except (ValueError, SyntaxError):
        raise Error(f"{name}={words}: a number or a tuple is expected") from None
