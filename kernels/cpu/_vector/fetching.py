"""Memory that will be wanted soon is asked for, while something else is done."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .instructions import INT, Emitter
from .scratch import CACHE_LINE

F32 = NDArray[np.float32]


def _fetch(count: int, source: F32, s0: int) -> None:
    """Have `count` numbers brought into the cache; they need not be in the array."""


@intrinsic  # type: ignore[untyped-decorator]
def _fetch_intrinsic(typing: Any, count: Any, source: Any, s0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0 = args
        e = Emitter(context, builder)
        begin = e.at(e.data(signature.args[1], source), s0)
        lines = builder.sdiv(builder.add(count, INT(CACHE_LINE - 1)), INT(CACHE_LINE))
        with e.loop(lines, []) as (line, _):
            e.prefetch(e.at(begin, builder.mul(line, INT(CACHE_LINE))))
        return context.get_dummy_value()

    return types.void(types.int64, source, types.int64), emit


fetch: Any = _fetch if DISABLED else _fetch_intrinsic
