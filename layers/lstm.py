"""LSTM: long short-term memory over a sequence."""

from typing import Any

from minicaffe.blob import Blob, Shape

from ._recurrent import RecurrentLayer


class LSTMLayer(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; the variant of Donahue et al.).

        [i, f, o, g] = W_x x_t + b + W_s static + W_h (cont_t h_{t-1})
        c_t = cont_t σ(f) c_{t-1} + σ(i) tanh(g)        h_t = σ(o) tanh(c_t)

    `recurrent_param`: `num_output` (H), `weight_filler`, `bias_filler` (constant 0),
    `expose_hidden` (false).

    T steps, N sequences. Bottoms: x (T, N, ...) with I values a step, cont (T, N): 0 where a
    sequence begins, else 1; then, if present, static (N, ...) with S values, and with
    `expose_hidden` the first h and c (1, N, H). Tops: h (T, N, H); with `expose_hidden` the last
    h and c (1, N, H). Without it, h and c after the last step are those before the first of the
    next forward. Gradients do not pass from one forward to the one before, nor through the exposed
    states. Parameters: W_x (4 H, I), b (4 H), W_s (4 H, S) if there is a static bottom,
    W_h (4 H, H).

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 3 dim: 2 dim: 2 } } }
        layer { type: "Input" name: "cont" top: "cont" input_param { shape { dim: 3 dim: 2 } } }
        layer { type: "LSTM" name: "h" bottom: "x" bottom: "cont" top: "h"
          recurrent_param { num_output: 2 weight_filler { type: "uniform" min: -1 } } }
    """

    kernels = (*RecurrentLayer.kernels, "lstm")
    bottoms = (2, 5)
    tops = (1, 3)
    states = 2
    gates_per_unit = 4

    def scratch_shapes(self) -> dict[str, Shape]:
        """Also the cells, the first of them before step 0, and the gradient of one."""
        one = (self.count, self.size)
        return {**super().scratch_shapes(), "cells": (self.steps + 1, *one), "dc": one}

    def initial_states(self) -> list[Any]:
        """h and c before step 0."""
        return [self.arrays["hidden"][0], self.arrays["cells"][0]]

    def final_states(self) -> list[Any]:
        """h and c after the last step."""
        return [self.arrays["hidden"][self.steps], self.arrays["cells"][self.steps]]

    def step(self, t: int) -> None:
        """The gates' activations overwrite what they were computed from."""
        gates, cells = self.arrays["gates"][t], self.arrays["cells"]
        after = self.arrays["hidden"][t + 1]
        unit = self.ops_of("lstm")
        unit.forward(cells[t], gates, self.cont[t], gates, cells[t + 1], after)

    def finish(self, top: Blob) -> None:
        """The output is h."""
        self.copy(self.arrays["hidden"][1:], top.data.write(self.device))

    def begin_backward(self, top: Blob) -> Any:
        """The gradient of h is that of the output."""
        return top.diff.read(self.device)

    def step_backward(self, t: int, dh: Any) -> None:
        """The gradient of the gates from those of h and c; that of c goes on to step t - 1."""
        cells, dc = self.arrays["cells"], self.arrays["dc"]
        self.ops_of("lstm").backward(
            cells[t],
            self.arrays["gates"][t],
            cells[t + 1],
            None if t == self.steps - 1 else dc,
            dh,
            dc,
            self.arrays["dgates"][t],
        )
