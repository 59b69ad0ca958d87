"""RNN: the plain recurrent network over a sequence."""

from typing import Any

from minicaffe.blob import Blob, Shape

from ._recurrent import RecurrentLayer


class RNNLayer(RecurrentLayer):
    """A recurrent network of tanh units with an output of tanh units.

        h_t = tanh(W_x x_t + b + W_s static + W_h (cont_t h_{t-1}))        o_t = tanh(W_o h_t + b_o)

    `recurrent_param`: `num_output` (H), `weight_filler`, `bias_filler` (constant 0),
    `expose_hidden` (false).

    T steps, N sequences. Bottoms: x (T, N, ...) with I values a step, cont (T, N): 0 where a
    sequence begins, else 1; then, if present, static (N, ...) with S values, and with
    `expose_hidden` the first h (1, N, H). Tops: o (T, N, H); with `expose_hidden` the last h
    (1, N, H). Without it, h after the last step is that before the first of the next forward.
    Gradients do not pass from one forward to the one before, nor through the exposed states.
    Parameters: W_x (H, I), b (H), W_s (H, S) if there is a static bottom, W_h (H, H), W_o (H, H),
    b_o (H).

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 3 dim: 2 dim: 2 } } }
        layer { type: "Input" name: "cont" top: "cont" input_param { shape { dim: 3 dim: 2 } } }
        layer { type: "RNN" name: "o" bottom: "x" bottom: "cont" top: "o"
          recurrent_param { num_output: 2 weight_filler { type: "uniform" min: -1 } } }
    """

    kernels = (*RecurrentLayer.kernels, "activation")
    bottoms = (2, 4)
    tops = (1, 2)
    states = 1
    gates_per_unit = 1

    def parameter_shapes(self) -> list[Shape]:
        """Also the weights of the output."""
        return [*super().parameter_shapes(), (self.size, self.size), (self.size,)]

    def scratch_shapes(self) -> dict[str, Shape]:
        """Also the output, its gradient before tanh, and what h gets of it."""
        shape = (self.steps, self.count, self.size)
        return {**super().scratch_shapes(), "output": shape, "doutput": shape, "dhidden": shape}

    def _rows(self, name: str) -> Any:
        """An array of this pass as (T N, H); of the hidden states, those after each step."""
        array = self.arrays[name][1:] if name == "hidden" else self.arrays[name]
        return array.reshape(-1, self.size)

    def step(self, t: int) -> None:
        """The new h."""
        tanh = self.ops_of("activation")
        tanh.forward("tanh", self.arrays["gates"][t], self.arrays["hidden"][t + 1])

    def finish(self, top: Blob) -> None:
        """The outputs of all steps at once."""
        output = self.arrays["output"]
        self.ops.start(self.weights[self.w_h + 2], None, output)
        weight = self.weights[self.w_h + 1]
        self.gemm(self._rows("hidden"), weight, self._rows("output"), trans_b=True, beta=1.0)
        self.ops_of("activation").forward("tanh", output, output)
        self.copy(output, top.data.write(self.device))

    def begin_backward(self, top: Blob) -> Any:
        """Through the outputs of all steps at once."""
        output, doutput = self.arrays["output"], self.arrays["doutput"]
        dtop = top.diff.read(self.device)
        self.ops_of("activation").backward("tanh", output, output, dtop, doutput)
        rows = self._rows("doutput")
        self.add_weight_gradient(self.w_h + 1, rows, self._rows("hidden"))
        self.add_bias_gradient(self.w_h + 2, rows)
        self.gemm(rows, self.weights[self.w_h + 1], self._rows("dhidden"))
        return self.arrays["dhidden"]

    def step_backward(self, t: int, dh: Any) -> None:
        """The gradient before tanh."""
        after = self.arrays["hidden"][t + 1]
        tanh = self.ops_of("activation")
        tanh.backward("tanh", after, after, dh, self.arrays["dgates"][t])
