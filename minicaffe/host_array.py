"""What makes a blob's array behave on the host like the ndarray that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray


class HostArray(NDArrayOperatorsMixin):
    """The face of an ndarray: a subclass defines `host()`, the live array on the host.

    Operators, NumPy's functions (as argument and as `out`), `np.asarray(a)`, an ndarray's methods
    and attributes work, `a[...]` is the ndarray itself. `isinstance(a, np.ndarray)` is False: code
    in C that asks for it wants `a[...]`. Pickled and copied it becomes an ndarray.
    """

    def host(self) -> NDArray[np.float32]:
        """The live host array; the caller may change it."""
        raise TypeError(f"{type(self).__name__} does not define host()")

    # --- NumPy's protocols -------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        host = self.host()
        if dtype is not None and dtype != host.dtype:
            return host.astype(dtype)
        return host.copy() if copy else host

    @property
    def __array_interface__(self) -> dict[str, Any]:
        interface: dict[str, Any] = self.host().__array_interface__
        return interface

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        result = getattr(ufunc, method)(*_plain(inputs), **_plain(kwargs))
        return out[0] if out is not None and len(out) == 1 else result

    def __array_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any, kwargs: Any
    ) -> Any:
        return func(*_plain(args), **_plain(kwargs))

    def __reduce__(self) -> tuple[Any, ...]:
        return np.array, (self.host(),)

    # --- an ndarray's behaviour --------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return self.host()[_plain(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host()[_plain(index)] = value

    def __len__(self) -> int:
        return len(self.host())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.host())

    def __contains__(self, value: Any) -> bool:
        return value in self.host()

    def __bool__(self) -> bool:
        return bool(self.host())

    def __int__(self) -> int:
        return int(self.host())

    def __float__(self) -> float:
        return float(self.host())

    def __format__(self, spec: str) -> str:
        return format(self.host(), spec)

    def __str__(self) -> str:
        return str(self.host())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "storage":
            raise AttributeError(name)
        return getattr(self.host(), name)


def _plain(value: Any) -> Any:
    """Arguments of a NumPy function, with the ndarrays in place of what behaves like them."""
    if isinstance(value, HostArray):
        return value.host()
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
