"""What RNN and LSTM share: inputs, the loop over time, the state that is carried over.

Caffe builds an inner net of one copy of each layer a step; here the same sums are a loop.

# T steps, N sequences side by side, I inputs, S static inputs, H hidden units,
# G = H (RNN) or 4 H (LSTM) inputs of a step's nonlinearity:
#   gates_t (N, G) = x_t (N, I) @ W_xᵀ + b + static (N, S) @ W_sᵀ + (cont_t h_{t-1}) (N, H) @ W_hᵀ
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from minicaffe.blob import Blob, Shape
from minicaffe.filler import fill
from minicaffe.layer import Layer

W_X, BIAS, W_STATIC = 0, 1, 2  # indices of the parameters; W_h follows

Item = TypeVar("Item")


class RecurrentLayer(Layer, ABC):
    """A recurrent layer: bottoms x (T, N, ...), cont (T, N), and what the docstrings of its
    children say.

    An implementer says how many blobs the state has (`states`; the first is h) and how many gates
    (`gates_per_unit`), and defines
        step(t)                 from gates[t]: the state after step t
        finish(top)             from all states: the output
        begin_backward(top)     the gradient of all h_t (T, N, H) that comes from the output
        step_backward(t, dh)    from dh (N, H): dgates[t]
    between which this class does the products with the weights. Arrays of the pass under way are
    in `self.arrays`, by name; `hidden` (T + 1, N, H) begins with the state before step 0.
    """

    kernels: ClassVar[tuple[str, ...]] = ("recurrent", "gemm", "copy", "scale")
    in_place = False
    states: ClassVar[int]
    gates_per_unit: ClassVar[int]
    parameters = "recurrent"
    multiplies = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create the weights."""
        param = self.param.recurrent_param
        self.expose: bool = param.expose_hidden
        self.size: int = param.num_output  # H
        if self.size == 0:
            raise self.error("num_output must be given and positive")
        exposed = self.states if self.expose else 0
        self.has_static = len(bottom) > 2 + exposed
        if len(bottom) != 2 + self.has_static + exposed or len(top) != 1 + exposed:
            raise self.error(
                f"takes bottoms x, cont{', [static]' + ', state' * exposed} and {1 + exposed} "
                f"top(s), the prototxt gives {len(bottom)} and {len(top)}"
            )
        if bottom[0].num_axes < 2:
            raise self.error(f"x must be (T, N, ...), its shape is {bottom[0].shape}")
        self.inputs = bottom[0].count(2)  # I
        self.statics = bottom[2].count(1) if self.has_static else 0  # S
        self.gates = self.gates_per_unit * self.size  # G
        if not self.blobs:
            for shape in self.parameter_shapes():
                filler = param.weight_filler if len(shape) == 2 else param.bias_filler
                fill(self.blobs.add_blob(*shape), filler)
        self.param_propagate_down = [True] * len(self.blobs)
        self.gemm = self.ops_of("gemm").gemm
        self.copy = self.ops_of("copy").copy
        self.sum_rows = self.ops_of("scale").gradient
        self.carried = [Blob() for _ in range(self.states)]
        self.scratch: dict[str, Blob] = {}
        self.arrays: dict[str, Any] = {}

    def parameter_shapes(self) -> list[Shape]:
        """The weights' shapes, in Caffe's order; those with one axis are biases."""
        static = [(self.gates, self.statics)] if self.has_static else []
        return [(self.gates, self.inputs), (self.gates,), *static, (self.gates, self.size)]

    @property
    def w_h(self) -> int:
        """The index of W_h among the parameters."""
        return W_STATIC + self.has_static

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check the shapes, which may change in T and N; the output is (T, N, H)."""
        shape = bottom[0].shape
        if len(shape) < 2 or bottom[0].count(2) != self.inputs:
            raise self.error(f"x must be (T, N, ...) with {self.inputs} inputs, not {shape}")
        self.steps, self.count = shape[:2]
        state = (1, self.count, self.size)
        if bottom[1].shape != shape[:2]:
            raise self.error(f"cont must be {shape[:2]} like x, its shape is {bottom[1].shape}")
        if self.has_static and bottom[2].shape[:1] != (self.count,):
            raise self.error(f"static must be ({self.count}, ...), not {bottom[2].shape}")
        if self.has_static and bottom[2].count(1) != self.statics:
            raise self.error(f"static must have {self.statics} inputs, not {bottom[2].shape}")
        for blob in self._exposed(bottom):
            if blob.shape != state:
                raise self.error(f"an initial state must be {state}, its shape is {blob.shape}")
        top[0].reshape((self.steps, self.count, self.size))
        for blob in self._exposed(top):
            blob.reshape(state)
        for blob in self.carried:
            blob.reshape(self.count, self.size)
        for name, wanted in self.scratch_shapes().items():
            self.scratch.setdefault(name, Blob()).reshape(wanted)

    def _exposed(self, items: Sequence[Item]) -> Sequence[Item]:
        """The states' part of the bottoms or the tops: the last ones."""
        return items[-self.states :] if self.expose else ()

    def scratch_shapes(self) -> dict[str, Shape]:
        """What the layer keeps from forward to backward, and works with."""
        per_step = (self.steps, self.count)
        return {
            "hidden": (self.steps + 1, self.count, self.size),
            "masked": (*per_step, self.size),  # cont_t h_{t-1}
            "gates": (*per_step, self.gates),
            "dgates": (*per_step, self.gates),
            "dh": (self.count, self.size),
            "static": (self.count, self.gates),
        }

    def _open(self, bottom: Sequence[Blob]) -> None:
        """Look up the arrays of this pass: scratch, weights, x and cont."""
        self.arrays = {name: blob.data.update(self.device) for name, blob in self.scratch.items()}
        self.weights = [blob.data.read(self.device) for blob in self.blobs]
        self.x = bottom[0].data.read(self.device).reshape(-1, self.inputs)
        self.cont = bottom[1].data.read(self.device)

    # --- the children's part ------------------------------------------------------------------

    def initial_states(self) -> list[Any]:
        """Where the states before step 0 are to be written, h first."""
        return [self.arrays["hidden"][0]]

    def final_states(self) -> list[Any]:
        """The states after the last step, h first."""
        return [self.arrays["hidden"][self.steps]]

    @abstractmethod
    def step(self, t: int) -> None:
        """One step forward."""

    @abstractmethod
    def finish(self, top: Blob) -> None:
        """The output."""

    @abstractmethod
    def begin_backward(self, top: Blob) -> Any:
        """The gradient of all h_t."""

    @abstractmethod
    def step_backward(self, t: int, dh: Any) -> None:
        """One step back."""

    # --- the common part ----------------------------------------------------------------------

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Run through the steps; afterwards, keep the state for the next forward."""
        self._open(bottom)
        given = self._exposed(bottom) or self.carried
        for blob, initial in zip(given, self.initial_states(), strict=True):
            self.copy(blob.data.read(self.device), initial)
        hidden, masked, gates = (self.arrays[name] for name in ("hidden", "masked", "gates"))
        static = self._static_part(bottom) if self.has_static else None
        self.ops.start(self.weights[BIAS], static, gates)
        rows = gates.reshape(-1, self.gates)
        self.gemm(self.x, self.weights[W_X], rows, trans_b=True, beta=1.0)
        for t in range(self.steps):
            self.ops.mask(self.cont[t], hidden[t], masked[t])
            self.gemm(masked[t], self.weights[self.w_h], gates[t], trans_b=True, beta=1.0)
            self.step(t)
        self.finish(top[0])
        for blobs in (self.carried, self._exposed(top)):
            for blob, final in zip(blobs, self.final_states(), strict=False):
                self.copy(final, blob.data.write(self.device))

    def _static_part(self, bottom: Sequence[Blob]) -> Any:
        """What the static input adds to the gates of every step, (N, G)."""
        static = self.arrays["static"]
        given = bottom[2].data.read(self.device).reshape(self.count, -1)
        self.gemm(given, self.weights[W_STATIC], static, trans_b=True)
        return static

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Back through the steps of this forward, no further; then the sums over all steps."""
        self._open(bottom)
        from_output = self.begin_backward(top[0])
        dgates, dh = self.arrays["dgates"], self.arrays["dh"]
        for t in reversed(range(self.steps)):
            if t == self.steps - 1:
                self.copy(from_output[t], dh)
            else:
                self.gemm(dgates[t + 1], self.weights[self.w_h], dh)
                self.ops.add_masked(from_output[t], self.cont[t + 1], dh)
            self.step_backward(t, dh)
        rows = dgates.reshape(-1, self.gates)
        self.add_weight_gradient(W_X, rows, self.x)
        self.add_bias_gradient(BIAS, rows)
        self.add_weight_gradient(self.w_h, rows, self.arrays["masked"].reshape(-1, self.size))
        if self.has_static:
            self._static_backward(dgates, propagate_down[2], bottom[2])
        if propagate_down[0]:
            dx = bottom[0].diff.write(self.device).reshape(-1, self.inputs)
            self.gemm(rows, self.weights[W_X], dx)
        for blob, wanted in zip(self._exposed(bottom), self._exposed(propagate_down), strict=True):
            if wanted:  # no gradient passes from one forward to the one before it
                blob.diff.overwrite(self.device, 0)

    def _static_backward(self, dgates: Any, wanted: bool, bottom: Blob) -> None:
        total = self.arrays["static"]
        self.sum_rows(None, dgates.reshape(self.steps, -1, 1), total.reshape(-1), False)
        given = bottom.data.read(self.device).reshape(self.count, -1)
        self.add_weight_gradient(W_STATIC, total, given)
        if wanted:
            dx = bottom.diff.write(self.device).reshape(self.count, -1)
            self.gemm(total, self.weights[W_STATIC], dx)

    def add_weight_gradient(self, index: int, dy: Any, x: Any) -> None:
        """Add dyᵀ x, dy (rows, outputs) and x (rows, inputs), to a weight's gradient."""
        if self.param_propagate_down[index]:
            dw = self.blobs[index].diff.update(self.device)
            self.gemm(dy, x, dw, trans_a=True, beta=1.0)

    def add_bias_gradient(self, index: int, dy: Any) -> None:
        """Add the sum of the rows of dy to a bias's gradient."""
        if self.param_propagate_down[index]:
            db = self.blobs[index].diff.update(self.device)
            self.sum_rows(None, dy.reshape(*dy.shape, 1), db, True)

    def allow_force_backward(self, index: int) -> bool:
        """Only x and the static input have a gradient."""
        return index == 0 or (index == 2 and self.has_static)

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """Each of T N steps multiplies every weight matrix once."""
        steps = bottom[0].count(0, 2)
        return sum(2 * steps * blob.count() for blob in self.blobs if blob.num_axes > 1)
