"""Old forms become what Caffe's own tools make of them."""

import csv
from pathlib import Path

import pytest

from minicaffe.errors import ParseError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_net, read_net_binary, read_solver
from minicaffe.proto.text import format_text, parse_text, read_text
from minicaffe.proto.upgrade import upgrade_net, upgrade_solver

NETS = ["bn3", "input2", "v0", "v0_data", "v1", "v1_run"]
SOLVERS = ["adadelta", "adagrad", "adam", "nesterov", "rmsprop", "sgd"]


def net(text: str) -> pb.NetParameter:
    return parse_text(text, pb.NetParameter())


def upgraded(text: str) -> pb.NetParameter:
    message = net(text)
    upgrade_net(message)
    return message


@pytest.mark.parametrize("name", NETS)
def test_nets_as_upgraded_by_caffe(goldens: Path, name: str) -> None:
    """The text is that of upgrade_net_proto_text, byte for byte."""
    legacy = goldens / "files" / "legacy"
    message = read_text(legacy / f"{name}.prototxt", pb.NetParameter())
    binary = pb.NetParameter.FromString(message.SerializeToString())
    assert upgrade_net(message)
    assert format_text(message) == (legacy / f"{name}.upgraded.prototxt").read_text()
    upgrade_net(binary)
    assert binary == message
    assert upgrade_net(message) == []  # once is enough


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_as_upgraded_by_caffe(goldens: Path, name: str) -> None:
    legacy = goldens / "files" / "legacy"
    message = read_text(legacy / f"solver_{name}.prototxt", pb.SolverParameter())
    notes = upgrade_solver(message)
    assert format_text(message) == (legacy / f"solver_{name}.upgraded.prototxt").read_text()
    assert notes == [f'upgraded solver_type: {name.upper()} to type: "{message.type}"']
    assert upgrade_solver(message) == []


def test_weights_as_upgraded_by_caffe(goldens: Path) -> None:
    legacy = goldens / "files" / "legacy"
    expected = pb.NetParameter.FromString((legacy / "v1_run.upgraded.caffemodel").read_bytes())
    assert read_net_binary(legacy / "v1_run.caffemodel") == expected


def test_every_type_of_v1(shared: Path) -> None:
    with open(shared / "reference" / "caffe_schema.tsv", newline="") as table:
        rows = [row for row in csv.reader(table, delimiter="\t") if row[0] == "v1_upgrade"]
    assert len(rows) == 39
    for row in rows:
        old, new = row[3], row[5]
        message = upgraded(f"layers {{ name: 'l' type: {old} }}")
        assert message == net(f"layer {{ name: 'l' type: '{new}' }}")


def test_every_type_of_v0(shared: Path) -> None:
    with open(shared / "reference" / "caffe_schema.tsv", newline="") as table:
        rows = [row for row in csv.reader(table, delimiter="\t") if row[0] == "v0_upgrade"]
    assert len(rows) == 25
    for row in rows:
        old, new = row[3], row[5]
        if old != "padding":
            message = upgraded(f"layers {{ layer {{ name: 'l' type: '{old}' }} }}")
            assert message == net(f"layer {{ name: 'l' type: '{new}' }}")


def test_every_field_of_v1_arrives() -> None:
    """A layer with every field set keeps every option under its name."""
    old = pb.NetParameter()
    layer = old.layers.add(name="l", type=pb.V1LayerParameter.MVN, loss_weight=[2])
    options = [f.name for f in layer.DESCRIPTOR.fields if f.name.endswith("_param")]
    for name in options:
        getattr(layer, name).SetInParent()
    layer.include.add(phase=pb.TRAIN)
    layer.exclude.add(stage=["s"])
    layer.blobs.add(data=[1, 2])
    upgrade_net(old)
    new = old.layer[0]
    assert [name for name in options if not new.HasField(name)] == []
    assert (new.loss_weight, new.blobs[0].data) == ([2], [1, 2])
    assert (new.include[0].phase, new.exclude[0].stage) == (pb.TRAIN, ["s"])


def test_parameters_of_v1_may_be_of_different_lengths() -> None:
    message = upgraded("layers { blobs_lr: 1 blobs_lr: 2 weight_decay: 0 param: 'w' }")
    assert message == net(
        "layer { param { name: 'w' lr_mult: 1 decay_mult: 0 } param { lr_mult: 2 } }"
    )


def test_padding_replaces_the_pad_of_the_next_layer() -> None:
    head = "input: 'x' layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'x' top: 'p' }"
    body = "layers { layer { name: 'l' type: '%s' pad: 1 } bottom: 'p' top: 'y' }"
    pool = upgraded(head + body % "pool").layer
    assert [layer.bottom for layer in pool] == [["x"]]
    assert pool[0].pooling_param.pad == 2
    assert upgraded(head + body % "conv").layer[0].convolution_param.pad == [2]


BAD_PADDING = {
    "layers { layer { name: 'l' type: 'relu' } bottom: 'p' top: 'y' }": "only a conv or pool layer",
    "layers { layer { name: 'l' type: 'conv' } bottom: 'p' bottom: 'x' top: 'y' }": "one bottom",
    "layers { layer { name: 'l' type: 'conv' } bottom: 'q' top: 'y' }": "reads unknown blob 'q'",
}


@pytest.mark.parametrize(("text", "message"), BAD_PADDING.items())
def test_padding_that_cannot_be_folded(text: str, message: str) -> None:
    head = "input: 'x' layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'x' top: 'p' }"
    with pytest.raises(ParseError, match=f"^net: .*'[lp]'.*{message}"):
        upgraded(head + text)


def test_padding_with_two_tops() -> None:
    head = "input: 'x' layers { layer { name: 'p' type: 'padding' } bottom: 'x' top: 'p' top: 'q' }"
    with pytest.raises(ParseError, match="padding layer 'p' needs one bottom and one top"):
        upgraded(head + "layers { layer { name: 'l' type: 'conv' } bottom: 'p' top: 'y' }")


def test_v0_tells_what_it_ignores() -> None:
    message = net("layers { layer { name: 'r' type: 'relu' num_output: 3 new_num: 2 } }")
    notes = upgrade_net(message)
    assert "layer 'r' (relu): ignored its num_output" in notes
    assert "layer 'r' (relu): ignored its new_num" in notes
    assert message == net("layer { name: 'r' type: 'ReLU' }")


def test_unknown_type_of_v0() -> None:
    with pytest.raises(ParseError, match="'l': unknown V0 type 'convolution' .known: accuracy,"):
        upgraded("layers { layer { name: 'l' type: 'convolution' } }")


def test_v0_weights() -> None:
    message = upgraded("layers { layer { name: 'l' type: 'conv' blobs { data: 3 } blobs_lr: 2 } }")
    assert message.layer[0].blobs[0].data == [3]
    assert message.layer[0].param[0].lr_mult == 2


def test_both_forms_in_one_net() -> None:
    with pytest.raises(ParseError, match="^net: has both 'layer' and 'layers'"):
        upgraded("layer { name: 'a' } layers { name: 'b' }")


def test_data_layers_of_today_keep_their_transformation() -> None:
    text = "layer { type: 'Data' data_param { scale: 2 crop_size: 3 } }"
    assert upgraded(text) == net(text)


def test_inputs_come_first_in_an_input_layer() -> None:
    message = net(
        "input: 'a' input: 'b' input_dim: [1, 2, 3, 4, 5, 6, 7, 8] layer { name: 'l' bottom: 'a' }"
    )
    assert upgrade_net(message) == ["declared the inputs a, b in an Input layer"]
    assert [layer.name for layer in message.layer] == ["input", "l"]
    assert message.layer[0] == net(
        "layer { name: 'input' type: 'Input' top: ['a', 'b'] "
        "input_param { shape: [{ dim: [1, 2, 3, 4] }, { dim: [5, 6, 7, 8] }] } }"
    ).layer[0]  # fmt: skip
    assert not (message.input or message.input_dim or message.input_shape)


def test_inputs_without_extents_go() -> None:
    message = net("input: 'a' input: 'b' layer { name: 'l' }")
    assert upgrade_net(message) == ["dropped the inputs without extents: a, b"]
    assert message == net("layer { name: 'l' }")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input: 'a' input: 'b' input_shape { dim: 1 }", "2 inputs, but extents for 1"),
        ("input: 'a' input: 'b' input_dim: [1, 2, 3, 4]", "2 inputs, but extents for 1"),
        ("input: 'a' input_dim: [1, 2, 3]", "3 input_dim, but four are needed for each input"),
    ],
)
def test_inputs_with_too_few_extents(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=f"^net: {message}"):
        upgraded(text)


def test_statistics_of_batch_norm() -> None:
    """Three specs are set to 0, whatever they said; other numbers are left to the layer."""
    two = "layer { name: 'b' type: 'BatchNorm' param { lr_mult: 1 } param { lr_mult: 1 } }"
    assert upgraded(two) == net(two)
    silent = net("layer { type: 'BatchNorm' param: [{lr_mult: 0}, {lr_mult: 0}, {lr_mult: 0}] }")
    assert upgrade_net(silent) == []
    loud = net("layer { name: 'b' type: 'BatchNorm' param: [{}, {}, { name: 'f' }] }")
    assert upgrade_net(loud) == ["set lr_mult to 0 for the statistics of BatchNorm: b"]
    assert [(spec.lr_mult, spec.decay_mult) for spec in loud.layer[0].param] == [(0, 0)] * 3


# --- solvers -----------------------------------------------------------------------------------


def test_both_types_in_one_solver(goldens: Path) -> None:
    file = goldens / "errors" / "solver_type_and_solver_type.prototxt"
    with pytest.raises(ParseError, match='has both type: "SGD" and the old solver_type: SGD'):
        read_solver(file)


def test_snapshot_prefix(tmp_path: Path) -> None:
    file = tmp_path / "lenet.v1.prototxt"
    file.write_text("base_lr: 1")
    assert read_solver(file).snapshot_prefix == str(tmp_path / "lenet.v1")
    file.write_text(f"snapshot_prefix: '{tmp_path}'")
    assert read_solver(file).snapshot_prefix == str(tmp_path / "lenet.v1")
    file.write_text(f"snapshot_prefix: '{tmp_path}/'")
    assert read_solver(file).snapshot_prefix == str(tmp_path / "lenet.v1")
    file.write_text("snapshot_prefix: 'elsewhere/x'")
    assert read_solver(file).snapshot_prefix == "elsewhere/x"
    solver = pb.SolverParameter()
    upgrade_solver(solver)
    assert not solver.HasField("snapshot_prefix")


def test_nets_within_a_solver() -> None:
    old = "{ layers { name: 'a' type: RELU } }"
    solver = parse_text(
        f"net_param {old} train_net_param {old} test_net_param {old} test_net_param {old}",
        pb.SolverParameter(),
    )
    assert len(upgrade_solver(solver)) == 4
    new = net("layer { name: 'a' type: 'ReLU' }")
    assert [solver.net_param, solver.train_net_param, *solver.test_net_param] == [new] * 4


def test_error_in_a_net_within_a_solver_names_it() -> None:
    text = "test_net_param { layer { } layers { } }"
    with pytest.raises(ParseError, match="^solver: test_net_param: has both"):
        upgrade_solver(parse_text(text, pb.SolverParameter()))


# --- files of Caffe ----------------------------------------------------------------------------


def test_every_prototxt_of_caffe_and_its_ancestor(shared: Path) -> None:
    folder = shared / "data" / "prototxt"
    with open(folder / "index.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["class"] == "solver":
                read_solver(folder / row["file"])
                continue
            message = read_net(folder / row["file"])
            assert not message.layers
            assert not message.input
            types = {layer.type for layer in message.layer} - {"Input"}
            assert types == set(row["layer_types"].split(",")) - {"Input"}, row["file"]


def test_prototxts_of_trained_models(shared: Path) -> None:
    read = 0
    for file in sorted((shared / "data" / "models").rglob("*.prototxt")):
        if "solver" in file.name:
            read_solver(file)
        elif file.parent.name != "ultraface":  # a fork's Permute
            assert read_net(file).layer
            read += 1
    assert read == 16


def test_mixed_forms_name_the_file(goldens: Path) -> None:
    with pytest.raises(ParseError, match=r"^/.*/v1_and_v2_mixed.prototxt: has both"):
        read_net(goldens / "errors" / "v1_and_v2_mixed.prototxt")
