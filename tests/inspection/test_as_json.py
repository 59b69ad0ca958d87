"""The inspector's data as JSON: what is written is read again, what does not fit is named."""

import json

import pytest

from minicaffe.errors import ParseError
from minicaffe.inspection.as_json import dumps, from_json, loads
from minicaffe.inspection.facts import Call, Form, Kernel, Listing, Loop, Row, Stats
from minicaffe.inspection.net_facts import Point

ROW = Row("vmulps ymm0, ymm1, ymm2", "kernels/cpu/relu.py", 37, "vector", 3, "multiplies 8 floats")
LOOP = Loop(3, 1, -1, 0, 0, {"instructions": 1, "vector": 1})
FORMS = {"asm": Form("code", (ROW,), (), (LOOP,))}
LISTING = Listing("cpu", "relu._rectify", "(x)", "kernels/cpu/relu.py", 40, 43, FORMS)
CALL = Call(
    "forward", "cpu", "relu", "forward", "kernels/cpu/relu.py", 19, ("x (2, 3) float32",), 0.5,
    (Kernel("cpu:relu._rectify:1", "relu._rectify", 0.25),),
)  # fmt: skip


@pytest.mark.parametrize("value", [LISTING, CALL, Point("conv1", "backward", 3.5, 20)])
def test_what_is_written_is_read_again(value):
    assert loads(type(value), dumps(value)) == value


def test_a_keyword_of_python_is_a_name_in_json():
    assert json.loads(dumps(CALL))["pass"] == "forward"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pass": "sideways"}, "pass: one of 'forward', 'backward', 'update' is expected"),
        ({"ms": "fast"}, "ms: a finite number is expected, found 'fast'"),
        ({"line": True}, "line: an integer is expected, found True"),
        ({"kernels": [{}]}, "kernels[0]: a Kernel has listing, kernel, ms, detail; lacking"),
        ({"arguments": "x"}, "arguments: a list is expected, found 'x'"),
        ({"colour": "red"}, "the whole: a Call has pass, device"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(changed, said):
    data = json.loads(dumps(CALL)) | changed
    with pytest.raises(ParseError) as error:
        from_json(Call, data)
    assert said in str(error.value)


def test_a_number_that_is_none_cannot_be_written():
    nan = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        dumps(Point("conv1", "forward", nan, 1.0))


def test_text_that_is_no_json_is_named():
    with pytest.raises(ParseError, match="no JSON"):
        loads(Stats, "{")
