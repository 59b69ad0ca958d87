"""RMSNorm: every sample to a root mean square of 1."""

from minicaffe.layer import Layer


class RMSNormLayer(Layer):
    """Yours: what it is, after whom, the formulas of y and dx, its parameters, the shapes.

    And, indented by four more blanks, a small net that shows it: an Input layer, then RMSNorm.
    """

    kernels = ("rms_norm",)
    parameters = "mvn"  # the prototxt's mvn_param, of which you need eps

    # Yours: setup, reshape, forward, backward. Which class attributes of Layer are true here?
    # (in_place, positions, needs_top; minicaffe/layer.py says what each promises)
