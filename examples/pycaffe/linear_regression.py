"""A regression whose data and loss are layers in Python; the built-in loss gives the same course.

Run it in this folder, or with this folder on PYTHONPATH: `python linear_regression.py`.
"""

import json
from pathlib import Path

import numpy as np

import minicaffe as caffe
from minicaffe import layers as L

OUT = Path("out")
W, B = [2.0, -3.0, 0.5], 1.0
ITERATIONS = 100


def regression(python_loss):
    """An inner product that is to find the plane."""
    n = caffe.NetSpec()
    line = json.dumps({"batch": 32, "w": W, "b": B, "noise": 0.1})
    n.x, n.y = L.Python(module="pyloss", layer="LineData", param_str=line, ntop=2)
    n.ip = L.InnerProduct(n.x, num_output=1, weight_filler={"type": "xavier"})
    if python_loss:
        # a layer in Python is a loss when it is given a weight
        n.loss = L.Python(n.ip, n.y, module="pyloss", layer="EuclideanLoss", loss_weight=1)
    else:
        n.loss = L.EuclideanLoss(n.ip, n.y)
    return n.to_proto()


def train(python_loss):
    """The losses of all iterations, and the solver."""
    name = OUT / ("python" if python_loss else "built_in")
    name.with_suffix(".prototxt").write_text(str(regression(python_loss)))
    solver_text = f"""
        train_net: "{name}.prototxt"
        base_lr: 0.05 lr_policy: "fixed" momentum: 0.5
    """
    path = OUT / f"{name.name}_solver.prototxt"
    path.write_text(solver_text)
    caffe.set_random_seed(1)
    solver = caffe.SGDSolver(str(path))
    losses = np.zeros(ITERATIONS)
    for it in range(ITERATIONS):
        solver.step(1)
        losses[it] = solver.net.blobs["loss"].data.item()
    return losses, solver


def main():
    """Train with both losses and compare."""
    OUT.mkdir(exist_ok=True)
    caffe.set_mode_cpu()
    python_losses, python_solver = train(python_loss=True)
    losses, solver = train(python_loss=False)
    for it in (0, 10, 50, ITERATIONS - 1):
        print(
            f"iteration {it:2}: loss {python_losses[it]:.6f} in Python, {losses[it]:.6f} built in"
        )
    w, b = (blob.data for blob in solver.net.params["ip"])
    print(f"found w = {np.round(w[0], 2)}, b = {b[0]:.2f}; they are {W} and {B}")
    assert np.allclose(python_losses, losses, rtol=1e-4)
    assert np.allclose(w, python_solver.net.params["ip"][0].data, rtol=1e-4)
    assert np.allclose(w, W, atol=0.1)


if __name__ == "__main__":
    main()
