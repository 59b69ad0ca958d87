"""What tests of pycaffe's face share: a small deploy net."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicaffe as caffe

DEPLOY = """
name: "small"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 4 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 3 kernel_size: 3 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {
  kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param {
  num_output: 5
  weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "constant" value: 2 } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


@pytest.fixture
def on_reference() -> None:
    """For what is about names and shapes: no need to compile."""
    caffe.use_device("reference")


@pytest.fixture
def deploy(tmp_path: Path) -> str:
    path = tmp_path / "deploy.prototxt"
    path.write_text(DEPLOY)
    return str(path)


@pytest.fixture
def net(deploy: str) -> Any:
    caffe.set_random_seed(1)
    return caffe.Net(deploy, caffe.TEST)


@pytest.fixture
def data() -> Any:
    return np.random.default_rng(0).normal(size=(4, 2, 6, 6)).astype(np.float32)
