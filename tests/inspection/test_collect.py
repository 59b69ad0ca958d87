"""What the inspector collects of nets: facts that fit the schema, hang together, and are true."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import Error, NetError
from minicaffe.inspection.as_json import dumps, loads
from minicaffe.inspection.collect import Wanted, inspect_net
from minicaffe.inspection.facts import Page, Prototxt
from minicaffe.inspection.family import example, small_net
from minicaffe.inspection.values import stats
from minicaffe.layer import known_types
from minicaffe.layer_example import needs_files
from minicaffe.net.roofline import Peak
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from tests.net.fused_nets import CHAINS

ALONE = Wanted(device="reference", devices=(), iterations=1)
NET = """
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { crop_size: 12 mean_value: 100 }
  data_param { source: "nowhere" backend: LMDB batch_size: 64 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture(autouse=True)
def peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines are measured elsewhere."""
    monkeypatch.setattr("minicaffe.inspection.collect.measure_peak", lambda device: Peak(1e9, 1e9))


def net_of(text: str) -> pb.NetParameter:
    return parse_text(text, pb.NetParameter(), source="net.prototxt")


def look(text: str, wanted: Wanted = ALONE, **more: Any) -> Page:
    return checked(inspect_net(net_of(text), Prototxt("", text), replace(wanted, **more)))


def checked(page: Page) -> Page:
    """The page, if its JSON fits the schema and all that it names is in it."""
    assert loads(Page, dumps(page)) == page
    calls = [call for layer in page.layers for call in layer.calls]
    calls += [call for group in page.fused_groups for call in group.calls]
    for call in calls:
        source = page.sources[call.file].splitlines()[call.line - 1]
        assert f"def {call.function}(" in source
        assert call.ms >= 0 and call.device in page.made.devices
        assert {kernel.listing for kernel in call.kernels} <= page.listings.keys()
    for layer in page.layers:
        assert page.sources[layer.file].splitlines()[layer.first_line - 1].startswith("class ")
    names = {box.name for box in page.graph.boxes}
    assert {layer.name for layer in page.layers} <= names
    for box in page.graph.boxes:
        assert box.width <= 2 * box.x and box.height <= 2 * box.y
        assert box.x + box.width / 2 <= page.graph.width
        assert box.y + box.height / 2 <= page.graph.height
    return page


def families_called(page: Page, device: str) -> set[str]:
    return {call.family for layer in page.layers for call in layer.calls if call.device == device}


@pytest.mark.parametrize("layer_type", [name for name in known_types() if not needs_files(name)])
def test_every_layer_gives_facts_that_fit(layer_type: str) -> None:
    net, file = example(layer_type)
    page = checked(inspect_net(net, file, ALONE))
    shown = [layer for layer in page.layers if layer.type == layer_type]
    assert shown and all(layer.doc and layer.first for layer in shown)
    called = {call.family for layer in shown for call in layer.calls}
    assert called <= {family for layer in shown for family in layer.families}
    assert called or not shown[0].families or layer_type in ("Reshape", "HDF5Output")


@pytest.mark.parametrize("layer_type", ["ReLU", "InnerProduct", "LSTM"])
def test_other_devices_call_the_same_functions(layer_type: str) -> None:
    net, file = example(layer_type)
    page = checked(inspect_net(net, file, replace(ALONE, devices=("cpu",), code=False)))
    of: dict[str, list[tuple[str, ...]]] = {"reference": [], "cpu": []}
    for layer in page.layers:
        for call in layer.calls:
            of[call.device].append((layer.name, call.pass_, call.family, call.function))
        assert not layer.missing
    assert of["reference"] and of["reference"] == of["cpu"]


def test_the_chain_of_a_layer() -> None:
    page = look(NET, pictures=False)
    relu = page.layers[2]
    assert (relu.name, relu.file, relu.families) == ("relu", "layers/relu.py", ("relu",))
    assert relu.bottoms == relu.tops == ("conv",)
    forward, backward = relu.calls
    assert (forward.pass_, forward.function) == ("forward", "forward")
    assert (backward.pass_, backward.function) == ("backward", "backward")
    size = "(4, 3, 10, 10) float32"
    assert forward.arguments == (f"x {size}", f"y {size}", "slope 0")
    assert forward.file == "kernels/reference/relu.py"
    conv = page.layers[1]
    assert conv.way.startswith("forward: im2col (the only one); to the bottom: im2col")
    assert [array.shape for array in conv.params] == [(3, 1, 3, 3), (3,)]
    assert conv.flops.forward == 2 * 9 * 4 * 3 * 100


def test_blobs_are_looked_at_before_a_layer_works_on_them_in_place() -> None:
    page = look(NET, pictures=False)
    (before,), (after,) = page.layers[1].blobs, page.layers[2].blobs
    assert before.stats.zeros == 0 and before.stats.histogram.low < 0
    assert 0 < after.stats.zeros < 1 and after.stats.histogram.low == 0
    assert sum(after.stats.histogram.counts) == 4 * 3 * 100
    assert before.gradient and after.gradient and before.gradient.zeros > after.gradient.zeros
    weights = page.layers[1].params[0]
    assert weights.gradient and weights.gradient.std > 0


def test_the_same_net_gives_the_same_numbers_twice() -> None:
    one, other = look(NET, pictures=False), look(NET, pictures=False)
    assert [layer.blobs for layer in one.layers] == [layer.blobs for layer in other.layers]


def test_data_that_is_not_there_is_made_up_and_said() -> None:
    page = look(NET)
    (note,) = page.made.notes
    assert (
        "layer 'data' (Data) is replaced by made-up data: data (4, 1, 12, 12), label (4,)" in note
    )
    assert "no LMDB at nowhere" in note
    labels = page.layers[0].blobs[1].stats
    assert labels.histogram.low >= 0 and labels.histogram.high < 5


def test_shapes_and_batch_are_those_that_are_asked_for() -> None:
    page = look(NET, dummy=True, batch=0, pictures=False)
    assert page.layers[0].blobs[0].shape == (64, 1, 12, 12)
    page = look(NET, shapes=(("data", (2, 3, 9, 8)),), pictures=False)
    assert [blob.shape for blob in page.layers[0].blobs] == [(2, 3, 9, 8), (2,)]


def test_what_only_data_could_tell_is_asked_for() -> None:
    text = NET.replace("crop_size: 12", "")
    with pytest.raises(
        NetError, match=r"'data' is known from its data only.* -shape data:4,3,32,32"
    ):
        look(text)
    with pytest.raises(
        NetError, match="-shape dat: no data of the net has that name .*data, label"
    ):
        look(NET, shapes=(("dat", (1, 2)),))


def test_an_unknown_layer_is_told_with_the_nearest() -> None:
    with pytest.raises(NetError, match="-layer con: .*did you mean 'conv'"):
        look(NET, layers=("con",))


def test_a_device_without_a_kernel_is_told_at_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "minicaffe.layer.missing_families",
        lambda device, families: ("relu",) if device == "cpu" and "relu" in families else (),
    )
    page = look(NET, layers=("relu",), devices=("cpu",), code=False, pictures=False)
    assert page.layers[0].missing == {"cpu": "no kernel relu for cpu"}
    assert families_called(page, "reference") == {"relu"}


def test_a_layer_that_fails_on_a_device_is_told_and_the_page_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: Any) -> None:
        raise Error("kernels/cpu/relu.py:50, kernel _rectify: it does not compile")

    monkeypatch.setattr("minicaffe.kernels.cpu.relu.forward", broken)
    page = look(NET, layers=("relu",), devices=("cpu",), code=False, pictures=False)
    assert page.layers[0].missing["cpu"].startswith("kernels/cpu/relu.py:50, kernel _rectify")


def test_a_device_that_is_not_there_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "minicaffe.inspection.collect.available", lambda device: (device != "cuda", "no card")
    )
    page = look(NET, devices=("cuda",), layers=("ip",), pictures=False)
    assert page.made.missing["cuda"] == "no card" and "cuda" not in page.made.devices


def test_layers_that_run_as_one_are_traced_one_by_one_and_as_one() -> None:
    text = "\n".join(CHAINS["three"])
    page = look(text, device="cpu", code=False, pictures=False)
    first = page.fused_groups[0]
    assert first.family == "batch_norm_scale_relu" and len(first.layers) == 3
    assert [call.pass_ for call in first.calls] == ["forward", "backward"]
    parts = [layer for layer in page.layers if layer.name in first.layers]
    assert all(layer.calls and layer.fused == first.name for layer in parts)


def test_inserted_splits_are_marked() -> None:
    text = f"{NET} layer {{ name: 'silence' type: 'Silence' bottom: 'ip' }}"
    page = look(text, pictures=False)
    (split,) = [layer for layer in page.layers if layer.type == "Split"]
    assert split.inserted and split.first == split.last == 0
    assert not any(layer.inserted for layer in page.layers if layer is not split)


def test_the_memory_plan_and_the_roofline_are_those_of_the_net() -> None:
    page = look(NET, pictures=False)
    plan = page.memory_plan
    assert plan.bytes_shared <= plan.bytes_alone == sum(life.bytes for life in plan.lives)
    points = {(point.layer, point.pass_) for point in page.roofline.points}
    assert ("conv", "forward") in points and ("ip", "backward") in points
    assert page.roofline.peak_gflops == page.roofline.bandwidth_gb_s == 1


def test_pictures_of_filters_and_maps() -> None:
    pytest.importorskip("matplotlib")
    page = look(NET)
    titles = [picture.title for picture in page.pictures]
    assert titles == ["filters of conv", "conv of the first sample"]
    assert all(picture.png.startswith("iVBORw0KGgo") for picture in page.pictures)


def test_a_net_without_a_loss_says_that_nothing_runs_back() -> None:
    text = NET[: NET.index('layer { name: "loss"')]
    page = look(text, pictures=False)
    assert page.made.notes[-1] == "no layer has a loss to learn from: nothing runs backward"
    assert not any(layer.ms.backward for layer in page.layers)


def test_only_a_kernel_family_can_be_asked_for() -> None:
    page = look(NET, kernel="relu", pictures=False)
    assert families_called(page, "reference") == {"relu"}
    with pytest.raises(Error, match="-kernel rely: .*did you mean 'relu'"):
        look(NET, kernel="rely", pictures=False)


def test_a_small_net_is_found_for_a_family() -> None:
    assert small_net("relu")[1].file == "docstring of ReLULayer"
    with pytest.raises(Error, match="-kernel update: no layer calls it on its own"):
        small_net("update")
    with pytest.raises(Error, match="no device has such a kernel family; did you mean 'relu'"):
        small_net("rellu")


@pytest.mark.parametrize(
    ("values", "mean", "zeros", "non_finite"),
    [([], 0, 0, 0), ([np.nan, np.inf], 0, 0, 1), ([0, 0, 2, np.nan], 2 / 3, 0.5, 0.25)],
)
def test_numbers_of_an_array(values: Any, mean: float, zeros: float, non_finite: float) -> None:
    from minicaffe.blob import SyncedArray

    array = SyncedArray((len(values),))
    array.write("cpu")[...] = values
    found = stats(array)
    assert found.mean == pytest.approx(mean)
    assert (found.zeros, found.non_finite) == (zeros, non_finite)
    assert sum(found.histogram.counts) == sum(map(bool, np.isfinite(values)))


def test_the_random_stream_of_the_caller_stays_as_it_was() -> None:
    before = context.current().rng.get_state()
    look(NET, pictures=False)
    assert context.current().rng.get_state() == before


def test_a_convolution_of_ones_own_need_not_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("minicaffe.kernels.reference.convolution.reasons")
    (conv,) = (layer for layer in look(NET).layers if layer.name == "conv")
    assert conv.way == "forward: im2col; to the bottom: im2col; to the parameters: im2col"
