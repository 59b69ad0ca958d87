"""Prototxt: what is accepted, what is refused and where, and what is written."""

import csv
import math
import random
from pathlib import Path

import pytest

from minicaffe.errors import ParseError
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import format_text, parse_text, read_text


def net(text: str) -> pb.NetParameter:
    return parse_text(text, pb.NetParameter(), "net.prototxt")


# --- accepted ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'layer { name: "a" type: "ReLU" }',
        "layer: { name: 'a' type: 'ReLU' }",
        "layer < name: 'a' type: 'ReLU' >",
        "layer [ { name: 'a', type: 'ReLU'; } ]",
        "layer: [{ name: 'a' type: 'ReLU' }]",
        "layer{name:'a'type:'ReLU'}",
        "layer { name: 'a' # the first\n type: 'Re' \"LU\" }# end",
        "\n\tlayer\n{\r\n name :\t'a'\v\f type : 'R\\145\\x4cU' }\n",
    ],
)
def test_forms_of_a_message(text: str) -> None:
    expected = pb.NetParameter()
    expected.layer.add(name="a", type="ReLU")
    assert net(text) == expected


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("1", 1.0),
        ("-1", -1.0),
        ("- 2.5", -2.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1f", 1.0),
        ("1e3f", 1000.0),
        ("1.5E-3F", 1.5e-3),
        ("0", 0.0),
        ("0.25", 0.25),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1e50", math.inf),
        ("nan", math.nan),
    ],
)
def test_floats(literal: str, value: float) -> None:
    got = net(f"layer {{ loss_weight: {literal} }}").layer[0].loss_weight[0]
    assert got == pytest.approx(value, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("-0X1f", -31),
        ("017", 15),
        ("0", 0),
        ("-0", 0),
        ("0" * 50 + "7", 7),
    ],
)
def test_integers(literal: str, value: int) -> None:
    assert net(f"input_dim: {literal}").input_dim == [value]


@pytest.mark.parametrize("literal", ["true", "True", "t", "1", "0x1", "01"])
def test_true(literal: str) -> None:
    assert net(f"force_backward: {literal}").force_backward is True


@pytest.mark.parametrize("literal", ["false", "False", "f", "0", "00"])
def test_false(literal: str) -> None:
    parsed = net(f"force_backward: {literal}")
    assert parsed.force_backward is False
    assert parsed.HasField("force_backward")


@pytest.mark.parametrize("literal", ["AVE", "1", "0x1"])
def test_enum(literal: str) -> None:
    pooling = net(f"layer {{ pooling_param {{ pool: {literal} }} }}").layer[0].pooling_param
    assert pooling.pool == pb.PoolingParameter.AVE


def test_lists() -> None:
    parsed = net("input_shape: [{ dim: [1, 2] dim: 3 }, <dim: []>] input_dim: [4] input_dim: 5,")
    assert [list(shape.dim) for shape in parsed.input_shape] == [[1, 2, 3], []]
    assert parsed.input_dim == [4, 5]


def test_number_may_touch_the_next_name() -> None:
    parameter = net("layer { convolution_param { num_output: 10bias_term: 0group: 2 } }")
    convolution = parameter.layer[0].convolution_param
    assert (convolution.num_output, convolution.bias_term, convolution.group) == (10, False, 2)


def test_string_escapes_and_several_lines() -> None:
    assert net(r'name: "a\n\t\"\'\\\101\x42\u00e9\U0001F600"').name == "a\n\t\"'\\ABé😀"
    assert net("name: 'two\nlines'").name == "two\nlines"
    assert net("name: 'größe'").name == "größe"
    assert parse_text(r"data: '\377\x00a'", pb.Datum()).data == b"\xff\x00a"


def test_empty_message_is_present() -> None:
    assert net("").ByteSize() == 0
    assert net("# nothing").ByteSize() == 0
    parsed = net("layer { include {} dropout_param {} }")
    assert len(parsed.layer[0].include) == 1
    assert parsed.layer[0].HasField("dropout_param")


def test_message_is_cleared_first() -> None:
    message = pb.NetParameter(name="old", input=["x"])
    assert parse_text("name: 'new'", message) is message
    assert message == pb.NetParameter(name="new")


# --- refused -----------------------------------------------------------------------------------

REFUSED = {
    "unknown field, spelt alike": (
        "layer {\n  nmae: 'a'\n}",
        "2:3: LayerParameter has no field 'nmae'; did you mean 'name'?",
    ),
    "field of an inner message": (
        "layer { kernel_h: 3 }",
        "1:9: LayerParameter has no field 'kernel_h'; it belongs in "
        "'convolution_param' or 'pooling_param'",
    ),
    "field of another file": (
        "name: 'a'\nbase_lr: 3",
        "2:1: NetParameter has no field 'base_lr'; SolverParameter has it",
    ),
    "field of nothing": ("xyzzy: 3", "1:1: NetParameter has no field 'xyzzy'"),
    "bracket not closed before the next layer": (
        "layer {\n  name: 'a'\n\nlayer { }",
        "4:1: LayerParameter has no field 'layer'; is the '{' of line 1 not closed?",
    ),
    "bracket not closed": ("name: 'a'\n layer {", "2:8: '{' is never closed"),
    "angle bracket not closed": ("layer <", "1:7: '<' is never closed"),
    "list not closed": ("input_dim: [1,\n2", "1:12: '[' is never closed"),
    "bracket closed twice": ("layer { } }", "1:11: expected a field name, found }"),
    "brackets of two kinds": ("layer { name: 'a' >", "1:19: expected a field name or '}', found >"),
    "no comma in a list": ("input_dim: [1 2]", "1:15: expected ',' or ']', found 2"),
    "comma before the first field": ("layer { , }", "1:9: expected a field name or '}', found ,"),
    "two separators": ("name: 'a',;", "1:11: expected a field name, found ;"),
    "no colon": ("name 'a'", "1:6: expected ':' after 'name', found 'a'"),
    "no value": ("layer { name: }", "1:15: expected a string in quotes for 'name', found }"),
    "no value at the end": (
        "force_backward:",
        "1:16: expected true or false for 'force_backward', found the end of the file",
    ),
    "value for a message": ("layer: 3", "1:8: expected '{' after 'layer', found 3"),
    "message for a value": ("input_dim { }", "1:11: expected ':' after 'input_dim', found {"),
    "list for a field that is not repeated": (
        "name: ['a']",
        "1:7: expected a string in quotes for 'name', found [",
    ),
    "given twice": ("name: 'a' name: 'b'", "1:11: 'name' of NetParameter is given twice"),
    "message given twice": ("state { } state { }", "1:11: 'state' of NetParameter is given twice"),
    "string without quotes": (
        "name: conv1",
        "1:7: expected a string in quotes for 'name', found conv1",
    ),
    "quote not closed": ("name: 'conv1", "1:7: the string for 'name' is never closed"),
    "quote closed by the next string": (
        "name: 'a\nlayer { name: 'b' }",
        "2:16: NetParameter has no field 'b' (the string of line 1 runs over several: "
        "is a quote missing?)",
    ),
    "unknown escape": (
        r"name: 'a\qb'",
        r"1:7: unknown escape sequence \q in the string for 'name'",
    ),
    "half a character": (
        r"name: '\xe9'",
        "1:7: byte 0xe9 in the string for 'name' is not UTF-8",
    ),
    "NUL": (r"name: 'a\0'", "1:7: a NUL character in the string for 'name'"),
    "unknown enum value": (
        "layer { pooling_param { pool: MAXIMUM } }",
        "1:31: expected MAX, AVE or STOCHASTIC for 'pool', found MAXIMUM",
    ),
    "unknown enum number": (
        "layer { phase: 2 }",
        "1:16: expected TRAIN or TEST for 'phase', found 2",
    ),
    "enum in quotes": (
        "layer { phase: 'TEST' }",
        "1:16: expected TRAIN or TEST for 'phase', found 'TEST'",
    ),
    "fraction for an integer": (
        "input_dim: 3.0",
        "1:12: expected an integer for 'input_dim', found 3.0",
    ),
    "word for an integer": ("input_dim: x", "1:12: expected an integer for 'input_dim', found x"),
    "negative for unsigned": (
        "layer { pooling_param { pad: -1 } }",
        "1:30: -1 is out of range for 'pad': 0 to 4294967295",
    ),
    "more than 32 bits": (
        "input_dim: 2147483648",
        "1:12: 2147483648 is out of range for 'input_dim': -2147483648 to 2147483647",
    ),
    "digits without end": (
        "input_dim: " + "9" * 5000,
        "1:12: " + "9" * 40 + "... is out of range for 'input_dim': -2147483648 to 2147483647",
    ),
    "wrong octal": ("input_dim: 08", "1:12: 08 for 'input_dim': a leading 0 means octal"),
    "hex for a float": (
        "layer { loss_weight: 0x1 }",
        "1:22: expected a decimal number for 'loss_weight', found 0x1",
    ),
    "half an exponent": (
        "layer { loss_weight: 1e }",
        "1:22: expected a decimal number for 'loss_weight', found 1e",
    ),
    "two points": (
        "layer { loss_weight: 1.2.3 }",
        "1:22: expected a decimal number for 'loss_weight', found 1.2.3",
    ),
    "plus sign": (
        "layer { loss_weight: +1 }",
        "1:22: expected a decimal number for 'loss_weight', found +1",
    ),
    "two for a bool": (
        "force_backward: 2",
        "1:17: expected true or false for 'force_backward', found 2",
    ),
    "yes for a bool": (
        "force_backward: yes",
        "1:17: expected true or false for 'force_backward', found yes",
    ),
    "required field missing": (
        "layer {\n clip_param { min: 0 } }",
        "2:13: ClipParameter needs 'max'",
    ),
    "required fields missing": (
        "layer { clip_param { } }",
        "1:20: ClipParameter needs 'min' and 'max'",
    ),
    "no-break space": (
        "name:\xa0'a'",
        r"1:6: expected a string in quotes for 'name', found '\xa0'",
    ),
    "control character": ("\x01", r"1:1: expected a field name, found '\x01'"),
    "column counts characters": ("name: 'größe' x: 1", "1:15: NetParameter has no field 'x'"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        net(text)
    assert str(error.value) == f"net.prototxt:{message}"


@pytest.mark.parametrize(
    "text", ["{", "layer {", "layer [", "layer: [{", "name: 'a' 'b'", "((", "#"]
)
def test_repeated_without_end(text: str) -> None:
    """However deep the nonsense, it is an error with a place or nothing at all."""
    try:
        net(text * 20_000)
    except ParseError as error:
        assert str(error).startswith("net.prototxt:1:")
    else:
        assert text == "#" or text.startswith("name")


def test_damaged_text_is_parsed_or_refused() -> None:
    """Random damage leads to ParseError alone."""
    text = format_text(
        net(
            "name: 'n' layer { name: 'a' type: 'Pooling' bottom: 'x' top: 'y' loss_weight: .5 "
            "pooling_param { pool: MAX kernel_size: 3 } clip_param { min: -1 max: 1e5 } "
            "include { phase: TRAIN stage: 'a\\n' } } force_backward: true"
        )
    )
    draw = random.Random(1)
    for _ in range(2000):
        start = draw.randrange(len(text))
        end = start + draw.randrange(6)
        insert = "".join(draw.choices("{}[]<>\"'\\#:;,.-0189xefaA \n\0\udcff", k=draw.randrange(4)))
        try:
            net(text[:start] + insert + text[end:])
        except ParseError as error:
            assert str(error).startswith("net.prototxt:")


# --- files -------------------------------------------------------------------------------------


def test_file_with_comments_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_bytes("\ufeffname: 'a' # ".encode() + "größe\n".encode("latin-1") + b"input: 'x'")
    assert read_text(file, pb.NetParameter()) == pb.NetParameter(name="a", input=["x"])
    file.write_bytes(b"name: 'a\xff'")
    with pytest.raises(ParseError, match=r"net.prototxt:1:7: byte 0xff in the string for 'name'"):
        read_text(file, pb.NetParameter())
    file.write_bytes(b"\nname\xff: 'a'")
    with pytest.raises(ParseError, match=r"net.prototxt:2:5: expected ':' .*, found byte 0xff"):
        read_text(file, pb.NetParameter())


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match=r"nowhere: cannot be read: No such file"):
        read_text(tmp_path / "nowhere", pb.NetParameter())
    with pytest.raises(ParseError, match=r"cannot be read: Is a directory"):
        read_text(tmp_path, pb.NetParameter())
    (tmp_path / "weights").write_bytes(b"\n\x04name\x00\x00")
    with pytest.raises(ParseError, match=r"weights: a binary file where prototxt was expected"):
        read_text(tmp_path / "weights", pb.NetParameter())


def test_every_prototxt_of_caffe_and_its_ancestor(shared: Path) -> None:
    """Those that Caffe refuses for CaffeOnSpark's fields are read here too."""
    folder = shared / "data" / "prototxt"
    with open(folder / "index.tsv", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert len(rows) == 89
    for row in rows:
        message = pb.SolverParameter() if row["class"] == "solver" else pb.NetParameter()
        read_text(folder / row["file"], message)
        again = parse_text(format_text(message), type(message)(), row["file"])
        assert again == message, row["file"]
        if row["class"] != "solver":
            assert len(message.layer) + len(message.layers) == int(row["layers"]), row["file"]


def test_every_golden_prototxt(goldens: Path) -> None:
    """The one with an unknown field is refused, as by Caffe."""
    for file in sorted(goldens.rglob("*.prototxt")):
        solver = file.parent.name == "solvers" or "solver" in file.name
        message = pb.SolverParameter() if solver else pb.NetParameter()
        if file.name == "unknown_field.prototxt":
            with pytest.raises(ParseError, match="3:54: LayerParameter has no field 'no_such_fie"):
                read_text(file, message)
        else:
            read_text(file, message)


@pytest.mark.parametrize("name", ["RFB-320", "slim-320"])
def test_field_of_a_fork(shared: Path, name: str) -> None:
    file = shared / "data" / "models" / "ultraface" / f"{name}.prototxt"
    with pytest.raises(ParseError, match=r":\d+:3: LayerParameter has no field 'permute_param'"):
        read_text(file, pb.NetParameter())


# --- written -----------------------------------------------------------------------------------


def test_text_in_the_form_of_caffe() -> None:
    message = net(
        "layer { name: 'q\"\\t\\001é' loss_weight: [1, 0.1, 1e-5, 16777217, 0.12345678, 1e6, -inf] "
        "propagate_down: false pooling_param { stride: 2 pool: AVE } } force_backward: t"
    )
    assert format_text(message) == (
        "force_backward: true\n"
        "layer {\n"
        '  name: "q\\"\\t\\001é"\n'
        "  loss_weight: 1\n"
        "  loss_weight: 0.1\n"
        "  loss_weight: 1e-05\n"
        "  loss_weight: 16777216\n"
        "  loss_weight: 0.12345678\n"
        "  loss_weight: 1e+06\n"
        "  loss_weight: -inf\n"
        "  propagate_down: false\n"
        "  pooling_param {\n"
        "    pool: AVE\n"
        "    stride: 2\n"
        "  }\n"
        "}\n"
    )
    assert net(format_text(message)) == message


def test_bytes_and_doubles_are_written() -> None:
    datum = pb.Datum(channels=1, data=bytes(range(256)), label=-3)
    assert parse_text(format_text(datum), pb.Datum()) == datum
    blob = pb.BlobProto(double_data=[0.1, 1 / 3, 1e300], data=[1.1])
    assert parse_text(format_text(blob), pb.BlobProto()) == blob
    assert format_text(blob).splitlines()[1] == "double_data: 0.1"


def test_every_float32_survives() -> None:
    draw = random.Random(2)
    bits = [draw.randrange(2**32) for _ in range(2000)] + [1, 0x7F7FFFFF, 0x80000000, 0x00800000]
    blob = pb.BlobProto.FromString(
        b"\x2a\xd0\x3e" + b"".join(b.to_bytes(4, "little") for b in bits)
    )
    again = parse_text(format_text(blob), pb.BlobProto())
    for before, after in zip(blob.data, again.data, strict=True):
        assert before == after or (math.isnan(before) and math.isnan(after))
