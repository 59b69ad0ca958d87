"""Fused neighbours: which layers they are, who names them, and what is seen of them."""

from pathlib import Path
from typing import Any

import pytest

from minicaffe.cli import _warm_up_jobs as warmup
from minicaffe.cli import main
from minicaffe.kernels.cpu._compile.jit import Kernel, known
from minicaffe.net.fusion import known_chains
from minicaffe.net.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net
from minicaffe.proto.text import format_text
from tests.net.fused_nets import (
    BLOCK,
    INPUT,
    UNFIT,
    assert_same,
    chain,
    contents,
    groups,
    layer,
    make_solver,
    norm,
    numbers,
    parsed,
    relu,
    scale,
)

# --- which layers --------------------------------------------------------------------------------


def test_the_groups_of_a_block() -> None:
    net = Net(parsed(BLOCK), device="cpu")
    assert groups(net) == [
        ["BatchNorm", "Scale", "ReLU"],
        ["BatchNorm", "Scale", "ReLU"],
        ["BatchNorm", "Scale"],
        ["Eltwise", "ReLU", "Split"],
        ["Eltwise", "ReLU"],
    ]
    assert (net.groups[0].first, net.groups[0].last) == (2, 4)
    assert len(net.layers) == len(parsed(BLOCK).layer) + 2


APART = {
    "two layers read it": chain(
        norm("a", "b"), layer("ReLU", "b", "c"), layer("Scale", "b", "d")
    ),
    "top and bottom differ": chain(norm("a", "b"), layer("Scale", "b", "c"), relu("c")),
    "two bottoms": chain(
        layer("DummyData", "", "s", "dummy_data_param { shape { dim: 4 } }").replace(
            'bottom: ""', ""
        ),
        norm("a", "a"), layer("Scale", "a s", "a"),
    ),
    "another order": chain(scale("a"), norm("a", "a"), layer("TanH", "a", "a"), relu("a")),
}  # fmt: skip


@pytest.mark.parametrize("layers", [*APART.values(), *UNFIT.values()], ids=[*APART, *UNFIT])
def test_what_is_left_alone(layers: list[str]) -> None:
    assert groups(Net(parsed(layers), device="cpu")) == []


def test_a_shape_that_does_not_fit_any_more_runs_one_by_one() -> None:
    found = []
    for fuse in (False, True):
        net = make_solver(parsed([INPUT, norm("data", "a"), scale("a"), relu("a")]), fuse=fuse).net
        net.forward_pass()
        net.input_blobs[0].reshape(6, 4, 1, 1)
        net.input_blobs[0].data[...] = numbers(1, (6, 4, 1, 1))
        net.forward_pass()
        found.append(contents(net))
    assert_same(*found)


def test_only_where_the_device_has_the_kernel() -> None:
    assert Net(parsed(BLOCK), device="reference").groups == []


def test_only_if_wanted() -> None:
    assert Net(parsed(BLOCK), device="cpu", fuse=False).groups == []


def test_a_solver_fuses_test_nets_too() -> None:
    for fuse in (False, True):
        solver = make_solver(parsed(BLOCK), fuse=fuse, test_iter=[1], test_interval=1)
        assert [bool(net.groups) for net in (solver.net, *solver.test_nets)] == [fuse, fuse]


def test_scale_needs_no_memory_of_its_own_in_a_group() -> None:
    net = make_solver(parsed(BLOCK), fuse=True).net
    net.forward_pass()
    batch_norm, scale_layer = net.layers[2:4]
    assert scale_layer.input.data.storage is batch_norm.x_norm.data.storage  # type: ignore[attr-defined]


def test_golden_net_gives_the_same(goldens: Path) -> None:
    param = read_net(str(goldens / "nets" / "resnet_small.prototxt"))
    found = []
    for fuse in (False, True):
        net = make_solver(param, fuse=fuse).net
        net.forward_pass()
        net.backward_pass()
        found.append(contents(net))
    assert_same(*found)


def test_the_warm_up_calls_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()

    def note(kernel: Kernel[Any], *args: Any) -> None:
        called.add(kernel.__name__)

    monkeypatch.setattr(Kernel, "__call__", note)
    next(job for job in warmup.serial_jobs() if job.name == "fused layers").run()
    families = {f"minicaffe.kernels.cpu.{name}" for name in known_chains().values()}
    assert {kernel.__name__ for kernel in known if kernel.__module__ in families} <= called


# --- what is seen of it --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_the_summary_shows_the_groups(
    phase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("\n".join(BLOCK))
    assert main(["summary", "-model", str(path), "-phase", phase]) == 0
    lines = capsys.readouterr().out.splitlines()
    column = lines[0].index("fused"), lines[0].index("fused") + len("fused")
    found = {line.split()[0]: line[slice(*column)].strip() for line in lines[2:23]}
    assert {name: number for name, number in found.items() if number} == {
        "a_batchnorm": "1", "a_scale": "1", "a_relu": "1",
        "b_batchnorm": "2", "b_scale": "2", "b_relu": "2",
        "c_batchnorm": "3", "c_scale": "3",
        "d_eltwise": "4", "d_relu": "4", "d_d_relu_0_split": "4",
        "f_eltwise": "5", "f_relu": "5",
    }  # fmt: skip
    assert "fused: 5 groups of layers, none with -nofuse" in lines


@pytest.mark.parametrize(("flags", "count"), [([], 5), (["-nofuse"], 0), (["-fuse=false"], 0)])
def test_a_flag_turns_it_off(
    flags: list[str], count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = pb.NetParameter()
    net.CopyFrom(parsed(BLOCK))
    solver = pb.SolverParameter(
        base_lr=0.01, lr_policy="fixed", max_iter=1, snapshot_prefix=str(tmp_path / "out"),
        snapshot=10,
    )  # fmt: skip
    solver.net_param.CopyFrom(net)
    (tmp_path / "solver.prototxt").write_text(format_text(solver))
    (tmp_path / "net.prototxt").write_text("\n".join(BLOCK))
    line = "5 groups of neighbouring layers run as one."
    assert main(["train", "-solver", str(tmp_path / "solver.prototxt"), *flags]) == 0
    assert (line in capsys.readouterr().err) == (count > 0)
    weights = str(tmp_path / "out_iter_1.caffemodel")
    model = ["-model", str(tmp_path / "net.prototxt"), "-weights", weights]
    assert main(["test", *model, "-iterations", "1", *flags]) == 0
    assert (line in capsys.readouterr().err) == (count > 0)
