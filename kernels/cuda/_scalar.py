"""The formulas of `kernels/_scalar.py`, for use inside kernels of this device: `sigmoid(x)`.

They are arithmetic alone, without the special function units of a GPU: so a GPU and an emulator
give the same bits, and the same as the other devices but for fused multiplications.
"""

from .._scalar import formulas
from ._compile.jit import inner

_made = formulas(inner, inner)

exp = _made.exp
exp_or_zero = _made.exp_or_zero
log = _made.log
tanh = _made.tanh
sigmoid = _made.sigmoid
ACTIVATIONS = {
    name: (getattr(_made, name), getattr(_made, f"{name}_slope"))
    for name in vars(_made)
    if hasattr(_made, f"{name}_slope")
}
