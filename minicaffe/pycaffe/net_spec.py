"""Nets written in Python, as pycaffe's NetSpec does it.

    from minicaffe import NetSpec, layers as L, params as P

    n = NetSpec()
    n.data, n.label = L.Data(source="mnist_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"})
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.loss = L.SoftmaxWithLoss(n.pool1, n.label)
    print(n.to_proto())

A keyword that is no field of LayerParameter is a field of the type's own parameter message
(`kernel_size` above); a dict fills a message, a list a repeated field.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor

from ..errors import NetError
from ..layer import parameter_field
from ..proto import minicaffe_pb2 as pb

LAYER_FIELDS = pb.LayerParameter.DESCRIPTOR.fields_by_name


def _parameter_messages() -> dict[str, Descriptor]:
    """Layer types (and P's names) to their parameter messages, from the fields' message names."""
    return {
        field.message_type.name.removesuffix("Parameter"): field.message_type  # type: ignore[misc]
        for name, field in LAYER_FIELDS.items()
        if name.endswith("_param") and field.message_type is not None
    }


def param_name_dict() -> dict[str, str]:
    """Layer types to the fields of their parameters, less "_param": {"Pooling": "pooling", ...}."""
    return {
        field.message_type.name.removesuffix("Parameter"): name.removesuffix("_param")
        for name, field in LAYER_FIELDS.items()
        if name.endswith("_param") and field.message_type is not None
    }


class Top:
    """Output `n` of a Function, `fn`: what other functions take as input."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> pb.NetParameter:
        """The net that computes this top."""
        return to_proto(self)


class Function:
    """A layer that has not been given its names yet."""

    def __init__(self, type_name: str, inputs: Iterable[Top], params: dict[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(inputs)
        for index, given in enumerate(self.inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.params = dict(params)
        count = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, index) for index in range(count))

    def sources(self, seen: OrderedDict[Function, None]) -> None:
        """Put the functions that this one depends on into `seen`, then itself."""
        if self in seen:
            return
        for given in self.inputs:
            given.fn.sources(seen)
        seen[self] = None

    def to_layer(self, names: _Names) -> pb.LayerParameter:
        """The LayerParameter, with the names that have been chosen."""
        layer = pb.LayerParameter(type=self.type_name)
        layer.bottom.extend(names.of_top(given) for given in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(names.of_top(top) for top in self.tops)
        layer.name = names.of_layer(self)
        own: dict[str, Any] = {}
        for key, value in self.params.items():
            if key in LAYER_FIELDS:
                assign_proto(layer, key, value)
            else:
                own[key] = value
        if own:
            field = parameter_field(self.type_name)
            if field is None:
                raise NetError(f"{self.type_name} has no parameters: {', '.join(own)}")
            for key, value in own.items():
                assign_proto(getattr(layer, field), key, value)
        return layer


class _Names:
    """Names of tops and layers: those that were given, and `<Type><number>` for the others."""

    def __init__(self, given: dict[Top, str]) -> None:
        self.tops = dict(given)
        # a layer without tops is named by the NetSpec's attribute itself
        self.layers = {top.fn: name for top, name in given.items() if not top.fn.tops}
        self.numbers: Counter[str] = Counter()

    def of_layer(self, function: Function) -> str:
        if function not in self.layers:
            named = next((self.tops[top] for top in function.tops if top in self.tops), None)
            chosen = function.params.get("name") or named or self._automatic(function)
            self.layers[function] = chosen
        return self.layers[function]

    def _automatic(self, function: Function) -> str:
        self.numbers[function.type_name] += 1
        return f"{function.type_name}{self.numbers[function.type_name]}"

    def of_top(self, top: Top) -> str:
        function = top.fn
        if function.in_place:
            return self.of_top(function.inputs[top.n])
        if top not in self.tops:
            layer = self.of_layer(function)
            self.tops[top] = layer if top.n == 0 else f"{layer}_{top.n}"
        return self.tops[top]


def assign_proto(message: Any, key: str, value: Any) -> None:
    """Give a message's field a value: a dict fills a message, a list a repeated field."""
    fields = message.DESCRIPTOR.fields_by_name
    if key not in fields:
        raise NetError(
            f"{message.DESCRIPTOR.name} has no field '{key}' (it has: {', '.join(fields)})"
        )
    target = getattr(message, key)
    repeated = hasattr(target, "extend")
    try:
        if repeated:
            for item in value if isinstance(value, list | tuple) else [value]:
                if isinstance(item, dict):
                    _assign_dict(target.add(), item)
                else:
                    target.append(item)
        elif isinstance(value, dict):
            target.SetInParent()
            _assign_dict(target, value)
        elif fields[key].message_type is not None:
            target.CopyFrom(value)
        else:
            setattr(message, key, value)
    except (TypeError, ValueError) as error:
        raise NetError(f"{message.DESCRIPTOR.name}.{key} = {value!r}: {error}") from None


def _assign_dict(message: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        assign_proto(message, key, value)


class NetSpec:
    """A net under construction: its attributes (or items) are tops by name."""

    tops: OrderedDict[str, Top]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        # a layer without tops is kept too, so that it gets its name and its place
        self.tops[name] = value if isinstance(value, Top) else Top(value, 0)

    def __getattr__(self, name: str) -> Top:
        try:
            return self.tops[name]
        except KeyError:
            known = ", ".join(self.tops) or "none"
            raise AttributeError(f"the net has no top '{name}' (it has: {known})") from None

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.__setattr__(name, value)

    def __getitem__(self, name: str) -> Top:
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        """The names of the tops."""
        return list(self.tops)

    def vals(self) -> list[Top]:
        """The tops."""
        return list(self.tops.values())

    def update(self, other: dict[str, Top]) -> None:
        """Add or replace tops."""
        self.tops.update(other)

    def to_proto(self) -> pb.NetParameter:
        """The net, layers in order of dependence."""
        names = _Names({top: name for name, top in self.tops.items()})
        return _to_proto(self.tops.values(), names)


def to_proto(*tops: Top) -> pb.NetParameter:
    """The net that computes some tops, all names automatic."""
    return _to_proto(tops, _Names({}))


def _to_proto(tops: Iterable[Top], names: _Names) -> pb.NetParameter:
    ordered: OrderedDict[Function, None] = OrderedDict()
    for top in tops:
        top.fn.sources(ordered)
    net = pb.NetParameter()
    net.layer.extend(function.to_layer(names) for function in ordered)
    return net


class Layers:
    """`L`: an attribute for every layer type, a function from tops to tops."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def layer(*inputs: Top, **params: Any) -> Any:
            function = Function(name, inputs, params)
            if not function.tops:
                return function
            return function.tops[0] if len(function.tops) == 1 else function.tops

        layer.__name__ = name
        return layer


class _Values:
    """The enum values of one parameter message: `P.Pooling.MAX`."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._values = {
            value.name: value.number for enum in descriptor.enum_types for value in enum.values
        }
        self._name = descriptor.name

    def __getattr__(self, name: str) -> int:
        if name.startswith("_") or name not in self._values:
            known = ", ".join(self._values)
            raise AttributeError(f"{self._name} has no value '{name}' (it has: {known})")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


class Parameters:
    """`P`: an attribute for every parameter message, holding its enum values."""

    def __getattr__(self, name: str) -> _Values:
        messages = _parameter_messages()
        if name not in messages:
            raise AttributeError(
                f"no parameter message '{name}' (there are: {', '.join(messages)})"
            )
        return _Values(messages[name])


layers = Layers()
params = Parameters()
