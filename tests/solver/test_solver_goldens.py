"""Every update rule and learning rate policy against the real Caffe, ten iterations each."""

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_solver
from minicaffe.solver.create import create_solver, known_solvers

RTOL, ATOL = 1e-5, 1e-6

CASES = {
    "SGD": ["fixed", "step", "exp", "multistep", "sigmoid", "wd_l1", "clip_unreached", "iter_size3",
            "no_momentum", "batchnorm", "batchnorm_iter_size"],
    "Nesterov": ["fixed", "step", "poly", "sigmoid", "wd_l1", "clip", "clip_unreached", "mults",
                 "everything"],
    "AdaGrad": ["step", "exp", "inv", "multistep", "sigmoid", "clip", "clip_unreached"],
    "RMSProp": ["step", "exp", "inv", "multistep", "poly", "sigmoid", "wd_l1", "clip_unreached",
                "iter_size3", "everything"],
    "AdaDelta": ["fixed", "exp", "inv", "multistep", "poly", "wd_l2", "clip_unreached",
                 "iter_size3", "mults", "defaults"],
    "Adam": ["step", "inv", "sigmoid", "wd_l2", "wd_l1", "clip", "clip_unreached", "mults",
             "everything", "batchnorm", "beta2_delta"],
}  # fmt: skip


def set_params(net, arrays):
    for key in arrays:
        kind, _, place = key.partition("/")
        if kind == "param":
            layer, index = place.rsplit("/", 1)
            net.layers[net.layer_names.index(layer)].blobs[int(index)].data[...] = arrays[key]


def expected(arrays, prefix):
    return {key[len(prefix) :]: arrays[key] for key in arrays.files if key.startswith(prefix)}


def check_params(net, wanted):
    for place, values in wanted.items():
        layer, index = place.rsplit("/", 1)
        blob = net.layers[net.layer_names.index(layer)].blobs[int(index)]
        np.testing.assert_allclose(np.asarray(blob.data), values, RTOL, ATOL, err_msg=place)


def check_history(solver, wanted):
    params = solver.net.flat_params
    for index, values in wanted.items():
        which, place = divmod(int(index), len(params))
        history = np.asarray(solver.history[which])[params.slices[place]]
        np.testing.assert_allclose(history.reshape(values.shape), values, RTOL, ATOL)


@pytest.mark.parametrize(
    "name", [f"{rule}_{case}" for rule, cases in CASES.items() for case in cases]
)
def test_ten_iterations_are_those_of_caffe(goldens, name, device):
    solver = create_solver(read_solver(goldens / "solvers" / f"{name}.prototxt"), device=device)
    net = solver.net
    with np.load(goldens / "solvers" / f"{name}.npz") as arrays:
        set_params(net, arrays)
        batches = iter(zip(arrays["data"], arrays["target"], strict=True))

        def feed(layer):
            if layer == 0:
                net.blob_dict["data"].data[...], net.blob_dict["target"].data[...] = next(batches)

        net.callbacks.before_forward.append(feed)
        for it in range(10):
            assert solver.lr == arrays["lr"][it]
            solver.step(1)
            loss = float(net.blob_dict["loss"].data)
            assert loss == pytest.approx(arrays["loss"][it], rel=RTOL, abs=ATOL)
            check_params(net, expected(arrays, f"it{it}/param_after/"))
            history = expected(arrays, f"it{it}/history/")
            if history:
                check_history(solver, history)
                assert len(history) == solver.history_sets * len(net.flat_params)
                assert solver.rate.current_step == arrays[f"it{it}/current_step"]


def test_every_golden_solver_is_checked(goldens):
    names = sorted(f"{rule}_{case}" for rule, cases in CASES.items() for case in cases)
    assert names == sorted(file.stem for file in (goldens / "solvers").glob("*.npz"))
    assert sorted(CASES) == sorted(known_solvers())


def test_the_default_type_is_sgd():
    assert text_format.Parse("", pb.SolverParameter()).type == "SGD"
