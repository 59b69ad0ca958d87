"""Dataclasses as JSON and back: their annotations are the schema, and every value is checked.

JSON's names are the fields' own, without the underscore that keeps `pass_` from being a keyword.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import ParseError

T = TypeVar("T")
_PLAIN = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false"}


def dumps(page: Any) -> str:
    """The JSON of a dataclass of facts.py."""
    return json.dumps(to_json(page), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def loads(kind: type[T], text: str) -> T:
    """What `dumps` wrote. Raises ParseError, which names the place, for anything else."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ParseError(f"no JSON: {error}") from None
    return from_json(kind, data)


def to_json(value: Any) -> Any:
    """Dictionaries, lists and plain values in place of dataclasses, tuples and mappings."""
    if dataclasses.is_dataclass(value):
        return {name: to_json(getattr(value, field)) for name, field in _names(type(value)).items()}
    if isinstance(value, Mapping):
        return {key: to_json(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(each) for each in value]
    return value


def from_json(kind: type[T], data: Any, place: str = "") -> T:
    """The dataclass that `data` describes. Raises ParseError: "layers[3].ms: ..."."""
    found: T = _read(kind, data, place)
    return found


def _names(kind: type) -> dict[str, str]:
    """The fields of a dataclass by their names in JSON."""
    return {field.name.removesuffix("_"): field.name for field in dataclasses.fields(kind)}


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, data: Any, place: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _read_dataclass(kind, _expect(data, dict, "an object", place), place)
    if origin is tuple:
        items = _expect(data, list, "a list", place)
        if inner[-1] is ... or len(inner) == len(items):
            kinds = [inner[0]] * len(items) if inner[-1] is ... else inner
            pairs = enumerate(zip(kinds, items, strict=True))
            return tuple(_read(each, item, f"{place}[{at}]") for at, (each, item) in pairs)
        raise _wrong(place, f"a list of {len(inner)}", data)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        items = _expect(data, dict, "an object", place)
        return {key: _read(inner[1], item, f"{place}[{key!r}]") for key, item in items.items()}
    if origin in (Union, types.UnionType):  # of None and another
        other = next(each for each in inner if each is not type(None))
        return None if data is None else _read(other, data, place)
    if origin is Literal:
        if data not in inner:
            raise _wrong(place, f"one of {', '.join(map(repr, inner))}", data)
        return data
    return data if kind is Any else _read_plain(kind, data, place)


def _read_dataclass(kind: type, data: dict[str, Any], place: str) -> Any:
    names, wanted = _names(kind), _types(kind)
    unknown, lacking = sorted(data.keys() - names.keys()), sorted(names.keys() - data.keys())
    if unknown or lacking:
        what = f"unknown: {', '.join(unknown)}" if unknown else f"lacking: {', '.join(lacking)}"
        raise ParseError(
            f"{place or 'the whole'}: a {kind.__name__} has {', '.join(names)}; {what}"
        )
    begin = f"{place}." if place else ""
    values = {
        field: _read(wanted[field], data[name], f"{begin}{name}") for name, field in names.items()
    }
    return kind(**values)


def _read_plain(kind: Any, data: Any, place: str) -> Any:
    fits = type(data) is kind or (kind is float and type(data) is int)
    if not fits or (kind is float and not math.isfinite(data)):
        raise _wrong(place, _PLAIN[kind], data)
    return data


def _expect(data: Any, kind: type, what: str, place: str) -> Any:
    if not isinstance(data, kind):
        raise _wrong(place, what, data)
    return data


def _wrong(place: str, expected: str, data: Any) -> ParseError:
    found = repr(data)
    shown = found if len(found) <= 40 else f"{found[:40]}..."
    return ParseError(f"{place or 'the whole'}: {expected} is expected, found {shown}")
