"""The benchmarks give all contenders the same work, find wrong numbers, report what they saw."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import layers, machine, measure, nets, report
from benchmarks.cases import BACKWARD, FORWARD, TRAIN, UPDATE, Case, Unsupported, arrays_of
from benchmarks.measure import Plan, Result, Row, compare, relative_error, work_of
from benchmarks.peers import PEERS, Peer, Sample, caffe_binary, graph, ours
from benchmarks.roofline import Roof
from minicaffe.proto import minicaffe_pb2 as pb

CONVOLUTION = layers.one_layer("Convolution", ((2, 3, 6, 6),), {"num_output": 4, "kernel_size": 3})
LOSS = layers.one_layer("SoftmaxWithLoss", ((3, 5),), {})
DROPOUT = """
    layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 8 } } }
    layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
    layer { type: "InnerProduct" name: "ip" bottom: "x" top: "ip"
      inner_product_param { num_output: 5 } }
    layer { type: "Dropout" name: "drop" bottom: "ip" top: "ip" }
    layer { type: "SoftmaxWithLoss" name: "loss" bottom: "ip" bottom: "label" top: "loss" }
"""
LOG = """I1122 10:00:00.1 7 caffe.cpp:404] Average time per layer:
I1122 10:00:00.1 7 caffe.cpp:407]         x0\tforward: 0.5 ms.
I1122 10:00:00.1 7 caffe.cpp:410]         x0\tbackward: 0.001 ms.
I1122 10:00:00.1 7 caffe.cpp:407]          y\tforward: 1.25 ms.
I1122 10:00:00.1 7 caffe.cpp:410]          y\tbackward: 2e+01 ms.
"""
ROOF = Roof(threads=1, peak=1e9, memory=1e9, cache=1e10)


class StandIn:
    """A contender that gives what it is told to."""

    def __init__(self, results: dict[str, np.ndarray]) -> None:
        self.answer = results

    def results(self) -> dict[str, np.ndarray]:
        return self.answer


def row(case: Case, **seconds: list[float]) -> Row:
    """A row with samples whose wall time is twice the processor time."""
    results = {
        key: Result([Sample(2 * value, value, 0) for value in values])
        for key, values in seconds.items()
    }
    return Row(case, 1, 4_000_000, 1_000_000, results)


def case_of(net: str, work: str) -> Case:
    return Case("layers", "a case", net, work, classes=5)


@pytest.mark.parametrize("work", [FORWARD, BACKWARD])
@pytest.mark.parametrize("net", [CONVOLUTION, LOSS], ids=["Convolution", "SoftmaxWithLoss"])
def test_both_devices_give_the_same_numbers(net: str, work: str) -> None:
    case = case_of(net, work)
    arrays = arrays_of(case)
    found, expected = (
        ours.prepare(case, arrays, PEERS[key], 1).results() for key in ("minicaffe", "numpy")
    )
    assert max(relative_error(found[key], expected[key]) for key in expected) < 1e-5
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("work", [TRAIN, UPDATE])
def test_an_iteration_changes_the_parameters_by_sgd(work: str) -> None:
    case = case_of(DROPOUT, work).without_dropout()
    arrays = arrays_of(case)
    found = ours.prepare(case, arrays, PEERS["numpy"], 1).results()
    if work == UPDATE:
        wanted = -0.1 * (arrays["grad/ip/0"] + 5e-4 * arrays["param/ip/0"])
        np.testing.assert_allclose(found["param/ip/0"], wanted, atol=1e-6)
    else:
        assert found["loss 1"] < found["loss 0"]


def test_an_update_can_be_repeated_for_ever() -> None:
    case = case_of(DROPOUT, UPDATE)
    work = ours.prepare(case, arrays_of(case), PEERS["numpy"], 1)
    for _ in range(2000):
        work.call()
    diff = work.net.flat_params.diff.read("cpu")  # type: ignore[attr-defined]
    assert 1e-3 < np.abs(diff).max() < 1e3


def test_fused_layers_are_compared_with_the_same_ones_alone() -> None:
    norm = (
        CONVOLUTION
        + """
        layer { name: "bn" type: "BatchNorm" bottom: "y" top: "y" }
        layer { name: "scale" type: "Scale" bottom: "y" top: "y" }"""
    )
    found = {}
    for key in ("minicaffe", "unfused"):
        case = case_of(norm, FORWARD)
        work = ours.prepare(case, arrays_of(case), PEERS[key], 1)
        assert bool(work.net.groups) == (key == "minicaffe")  # type: ignore[attr-defined]
        found[key] = work.results()
    assert relative_error(found["minicaffe"]["y"], found["unfused"]["y"]) < 1e-6
    case = case_of(CONVOLUTION, FORWARD)
    with pytest.raises(Unsupported, match="nothing to fuse"):
        ours.prepare(case, arrays_of(case), PEERS["unfused"], 1)


@pytest.mark.parametrize("key", ["torch", "torch-best", "onnxruntime"])
@pytest.mark.parametrize("work", [FORWARD, BACKWARD, TRAIN])
def test_other_libraries_give_the_same_numbers(key: str, work: str) -> None:
    peer = PEERS[key]
    if reason := peer.missing():
        pytest.skip(reason)
    case = case_of(CONVOLUTION if work != TRAIN else DROPOUT, work).without_dropout()
    arrays = arrays_of(case)
    module = importlib.import_module(f"benchmarks.peers.{peer.module}")
    if key == "onnxruntime" and work != FORWARD:
        with pytest.raises(Unsupported, match="inference only"):
            module.prepare(case, arrays, peer, 1)
        return
    found = module.prepare(case, arrays, peer, 1).results()
    expected = ours.prepare(case, arrays, PEERS["numpy"], 1).results()
    assert max(relative_error(found[name], expected[name]) for name in expected) < 1e-4


def test_two_processes_take_turns(tmp_path: Path) -> None:
    from benchmarks.contender import Contender

    contenders = [Contender(key, 1, tmp_path) for key in ("minicaffe", "numpy")]
    try:
        made = compare(case_of(LOSS, FORWARD), contenders, contenders[1], Plan(4, 1e-4), 1)
    finally:
        for contender in contenders:
            contender.close()
    assert [result.reason for result in made.results.values()] == ["", ""]
    assert [len(result.samples) for result in made.results.values()] == [4, 4]
    assert made.ratio("minicaffe") == 1
    assert made.results["minicaffe"].error is not None


def test_a_slow_contender_has_fewer_turns() -> None:
    played = []

    class Slow:
        key, threads = "slow", 1

        def warm_up(self, seconds: float) -> float:
            return 2.0

        def turn(self) -> Sample:
            played.append(1)
            return Sample(2, 2, 0)

    results = {"slow": Result()}
    measure.time_all([Slow()], results, Plan(rounds=15, budget=10))  # type: ignore[list-item]
    assert len(played) == len(results["slow"].samples) == 5


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"y": np.ones(3)}, ""),
        ({"y": np.array([1, 1, 1.1])}, "wrong numbers: y is off by 5.8e-02"),
        ({"y": np.array([1, 1, np.nan])}, "wrong numbers: y is off by nan"),
        ({"y": np.ones((3, 1))}, "wrong numbers: y is off by inf"),
    ],
)
def test_wrong_numbers_are_found(found: dict[str, np.ndarray], words: str) -> None:
    result = Result()
    measure.check(result, StandIn(found), {"y": np.ones(3)}, {"y": 1e-3})  # type: ignore[arg-type]
    assert (result.reason, result.wrong) == (words, bool(words))


def test_missing_results_are_found() -> None:
    from benchmarks.contender import Failed

    with pytest.raises(Failed, match="other results: x, y"):
        measure.check(
            Result(),
            StandIn({"x": np.ones(1)}),  # type: ignore[arg-type]
            {"y": np.ones(1)},
            {"y": 1e-3},
        )


class Sensitive(StandIn):
    """A contender whose result changes ten thousand times as much as its input."""

    def prepare(self, case: Case, path: Path) -> str:
        with np.load(path) as arrays:
            self.answer = {"y": 1 + 1e4 * (arrays["input/x"] - 1), "z": np.ones(1)}
        return ""


def test_nets_are_allowed_what_rounding_does_to_them(tmp_path: Path) -> None:
    inputs = {"input/x": np.ones(100, np.float32)}
    expected = {"y": np.ones(100), "z": np.ones(1)}
    oracle, file = Sensitive({}), tmp_path / "moved.npz"
    bounds = measure.bounds_of_net(oracle, case_of(LOSS, TRAIN), inputs, file, expected)  # type: ignore[arg-type]
    assert bounds["z"] == measure.NET_BOUND
    assert 0.3 > bounds["y"] > 0.1


def test_ratios_are_of_medians_by_one_clock() -> None:
    made = row(case_of(LOSS, FORWARD), minicaffe=[1.0, 2.0, 9.0], torch=[5.0, 6.0, 6.5])
    assert made.ratio("torch") == 3
    made.results["caffe"] = Result([Sample(8.0, None, 0)])  # wall time alone
    assert made.ratio("caffe") == 2
    made.results["onnxruntime"] = Result(reason="inference only")
    assert made.ratio("onnxruntime") is None


def test_an_interrupted_run_is_reported() -> None:
    """What was measured on one thread, where nothing was on two."""
    roofs = [ROOF, Roof(threads=2, peak=2e9, memory=1e9, cache=2e10)]
    made = row(case_of(LOSS, FORWARD), minicaffe=[0.01])
    facts = {
        "machine": {}, "contenders": {"minicaffe": "Numba"}, "left out": [],
        "load at the start": "0", "load at the end": "0",
    }  # fmt: skip
    text = report.markdown(facts, [made], roofs)
    assert text.count("### ") == 1
    assert "Measured limits, 2 threads" in text


def test_the_table_has_ratios_reasons_and_a_mean() -> None:
    first = row(case_of(LOSS, FORWARD), minicaffe=[0.01], torch=[0.02])
    second = row(case_of(LOSS, BACKWARD), minicaffe=[0.01], torch=[0.08])
    third = row(case_of(LOSS, UPDATE), minicaffe=[0.01])
    first.results["torch"].note = "NCHW"
    third.results["torch"] = Result(reason="its process died", wrong=True)
    lines = report.table([first, second, third], ROOF, ["minicaffe", "torch"]).splitlines()
    assert lines[0] == "| case | minicaffe, CPU ms | GB/s | of the roof | torch |"
    assert lines[2] == "| a case, forward | 10 | 0.1 | 40 % | 2.00 (NCHW) |"
    assert lines[4].endswith("| its process died |")
    assert lines[5] == "| geometric mean |  |  |  | 4.00 |"


def test_json_holds_every_sample() -> None:
    made = row(case_of(LOSS, FORWARD), minicaffe=[1.0, 3.0, 2.0])
    text = report.to_json({"machine": {}}, [made], [ROOF])
    ours_in_json = json.loads(text)["rows"][0]["results"]["minicaffe"]
    assert [sample["cpu"] for sample in ours_in_json["samples"]] == [1, 3, 2]
    assert ours_in_json["median cpu"] == 2 and ours_in_json["ratio"] == 1


def test_the_report_goes_between_the_marks_of_the_page(checkout: Path, tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    text = (checkout / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    for words in ("report A", "report B"):
        report.put_into_docs(words, page)
    changed = page.read_text(encoding="utf-8")
    assert "report B" in changed and "report A" not in changed
    assert changed.partition("<!-- results")[0] == text.partition("<!-- results")[0]


@pytest.mark.parametrize(("work", "expected"), [(FORWARD, 1.25), (BACKWARD, 20), ("both", 21.25)])
def test_the_log_of_caffe_time_without_its_data_layers(work: str, expected: float) -> None:
    assert caffe_binary.milliseconds(LOG, work, {"x0"}) == expected


def test_caffe_gets_a_net_that_feeds_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "caffe"
    program.write_text(f"#!/bin/sh\ncp ${{2#--model=}} {tmp_path}/seen\ncat >&2 <<END\n{LOG}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert PEERS["caffe"].missing() == ""
    work = caffe_binary.prepare(case_of(CONVOLUTION, BACKWARD), {}, PEERS["caffe"], 1)
    assert work.run(3) == Sample(pytest.approx(0.02), None, 0)
    seen = (tmp_path / "seen").read_text()
    assert "DummyData" in seen and "force_backward: true" in seen and "Input" not in seen
    with pytest.raises(Unsupported, match="does not update"):
        caffe_binary.prepare(case_of(DROPOUT, TRAIN), {}, PEERS["caffe"], 1)


def test_a_missing_contender_is_left_out_with_a_line() -> None:
    assert "no Python package nowhere" in Peer("X", "x", packages=("nowhere",)).missing()
    assert "no program nowhere" in Peer("X", "x", program="nowhere").missing()


def test_batch_norm_and_the_scale_behind_it_are_one_step() -> None:
    param = nets.resnet50.net(1, deploy=True)
    steps = graph.steps(param)
    assert sum(step.layer.type == "BatchNorm" for step in steps) == 53
    assert all(step.scale is not None for step in steps if step.layer.type == "BatchNorm")
    assert not any(step.layer.type == "Scale" for step in steps)
    assert graph.outputs(param) == ["prob"]


def test_a_blob_is_given_up_after_its_last_reader() -> None:
    steps = graph.steps(nets.googlenet.net(1, deploy=True))
    produced = {step.top for step in steps}
    given_up = [name for step in steps for name in step.last_use]
    assert sorted(given_up) == sorted(produced - {"prob"})


@pytest.mark.parametrize(
    ("model", "parameters", "statistics"),
    [("lenet", 431_080, 0), ("caffenet", 60_965_224, 0), ("resnet50", 25_557_032, 53_173)],
)
def test_models_have_the_known_numbers_of_parameters(
    model: str, parameters: int, statistics: int
) -> None:
    from minicaffe.net.net import Net

    net = Net(getattr(nets, model).net(1, deploy=True), device="reference")
    assert net.phase == pb.TEST
    assert net.flat_params.count == parameters + statistics


def test_the_work_of_a_convolution() -> None:
    forward, _ = work_of(case_of(CONVOLUTION, FORWARD))
    backward, _ = work_of(case_of(CONVOLUTION, BACKWARD))
    assert forward == 2 * (2 * 4 * 4 * 4) * (3 * 3 * 3)  # outputs, taps of a filter
    assert backward == 2 * forward


def test_titles_are_unique() -> None:
    every = [*layers.convolutions(), *layers.products(), *layers.others(), *layers.updates()]
    titles = [case.title for case in [*every, *nets.nets(), *nets.one_image()]]
    assert len(titles) == len(set(titles))


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib here")
def test_the_picture_is_drawn(tmp_path: Path) -> None:
    from benchmarks.roofline import plot

    rows = [row(case_of(LOSS, work), minicaffe=[0.01]) for work in (FORWARD, BACKWARD)]
    plot(rows, [ROOF], tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("own", "vectors", "told", "words"),
    [
        ("Prescott", "AVX-512", "SkylakeX",
         "SkylakeX (left alone, it takes the kernels of Prescott)"),
        ("Prescott", "AVX2", "Haswell",
         "Haswell (left alone, it takes the kernels of Prescott)"),
        ("Zen", "AVX2", "", "Zen"),
        ("Prescott", "NEON", "", "Prescott"),
        ("", "AVX-512", "", ""),
    ],
)  # fmt: skip
def test_caffe_gets_the_kernels_of_its_processor(
    own: str, vectors: str, told: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caffe = tmp_path / "caffe"
    core = f'[ "$OPENBLAS_VERBOSE" = 2 ] && echo "Core: {own}" >&2' if own else ""
    caffe.write_text(f"""#!/bin/sh
{core}
[ "$1" = --version ] && echo "caffe version 1.0.0" && exit
[ "$OPENBLAS_CORETYPE" = "{told}" ] || exit 1
cat >&2 <<END
{LOG}END
""")
    caffe.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(machine, "vectors", lambda: vectors)
    monkeypatch.setattr(caffe_binary, "core_types", caffe_binary.core_types.__wrapped__)
    blas = f", OpenBLAS for {words}" if words else ""
    assert caffe_binary.describe(PEERS["caffe"]) == "caffe version 1.0.0" + blas
    work = caffe_binary.prepare(case_of(CONVOLUTION, FORWARD), {}, PEERS["caffe"], 1)
    assert work.run(1).wall == pytest.approx(1.25e-3)
