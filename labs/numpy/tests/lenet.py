"""LeNet's first losses on the device `reference`; run as a program it prints them as JSON."""

import json
import sys
from pathlib import Path

import numpy as np

NET = Path(__file__).parent.parent / "nets" / "lenet.prototxt"


def losses(seed, iterations=20):
    """Of a training on random images whose class can be seen: the losses before each step."""
    from minicaffe import context
    from minicaffe.proto import minicaffe_pb2 as pb
    from minicaffe.solver.create import create_solver

    context.set_random_seed(seed + 1)
    param = pb.SolverParameter(
        net=str(NET), base_lr=0.005, lr_policy="fixed", momentum=0.9, max_iter=iterations,
        random_seed=seed + 1, type="SGD",
    )  # fmt: skip
    solver = create_solver(param, device="reference")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(iterations):
        label = rng.integers(0, 10, 8)
        image = rng.standard_normal((8, 1, 28, 28)) * 0.2
        for number, which in enumerate(label):
            image[number, 0, 2 * which : 2 * which + 4, :] += 1
        for blob, values in zip(solver.net.input_blobs, (image, label), strict=True):
            blob.data[...] = values
        solver.step(1)
        found.append(float(np.asarray(solver.net.output_blobs[0].data).reshape(-1)[0]))
    return found


if __name__ == "__main__":
    print(json.dumps(losses(int(sys.argv[1]))))
