"""The schema is Caffe's, field by field, with CaffeOnSpark's additions."""

import csv
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from minicaffe.proto import minicaffe_pb2 as pb

FILE = FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
MESSAGES = {message.name: message for message in FILE.message_type}
LABELS = {1: "optional", 2: "required", 3: "repeated"}

# What Caffe does not have, CaffeOnSpark's and our own: message -> fields
ADDED = {
    "LayerParameter": {"source_class": 10001, "cos_data_param": 10010},
    "MemoryDataParameter": {
        "share_in_parallel": 10000,
        "source": 10001,
        "dataframe_column_select": 10002,
        "image_encoded": 10003,
        "dataframe_format": 10004,
        "resize": 10005,
    },
    "SolverState": {
        "random_state": 10100,
        "weights_checksum": 10101,
        "checksum": 10102,
        "run": 10103,
        "residual": 10104,
    },
}
NEW_MESSAGES = {"CoSDataParameter", "DataPosition", "TrainingRun"}


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, str]]:
    lines = (shared / "reference" / "caffe_schema.tsv").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def row_of(field: FieldDescriptorProto) -> dict[str, str]:
    """A field as a row of the table; floats with nine digits, enough to tell any two apart."""
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.type_name:
        kind += ":" + field.type_name.removeprefix(".minicaffe.")
    default = field.default_value
    if field.HasField("default_value"):
        if kind == "float":
            default = f"{float(default):.9g}"
        elif kind == "string":
            default = f'"{default}"'
    return {
        "number": str(field.number),
        "label": LABELS[field.label],
        "type": kind,
        "default": default,
        "option": "packed" if field.options.packed else "",
    }


def test_every_field(rows: list[dict[str, str]]) -> None:
    fields = [row for row in rows if row["kind"] == "field"]
    assert len(fields) == 423
    for row in fields:
        message = MESSAGES[row["message_or_enum"]]
        field = next(field for field in message.field if field.name == row["name"])
        if row["type"] == "float" and row["default"]:
            row["default"] = f"{float(row['default']):.9g}"
        mine = row_of(field)
        if row["type"] == "float" and row["default"]:
            assert float(mine["default"]) == pytest.approx(float(row["default"]), rel=1e-7)
            mine["default"] = row["default"]
        assert mine == {key: row[key] for key in mine}, row


def test_every_enum_value(rows: list[dict[str, str]]) -> None:
    def enums(scope: DescriptorProto | FileDescriptorProto) -> dict[str, EnumDescriptorProto]:
        return {enum.name: enum for enum in scope.enum_type}

    values: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["kind"] == "enum":
            values.setdefault(row["message_or_enum"], {})[row["name"]] = int(row["number"])
    assert sum(map(len, values.values())) == 111
    for name, expected in values.items():
        scope, _, enum = name.rpartition(".")
        mine = enums(MESSAGES[scope] if scope else FILE)[enum]
        assert {value.name: value.number for value in mine.value} == expected, name


def test_nothing_but_the_known_additions(rows: list[dict[str, str]]) -> None:
    theirs: dict[str, set[str]] = {}
    for row in rows:
        if row["kind"] == "field":
            theirs.setdefault(row["message_or_enum"], set()).add(row["name"])
    assert set(MESSAGES) - set(theirs) == NEW_MESSAGES
    for name, fields in theirs.items():
        added = {f.name: f.number for f in MESSAGES[name].field if f.name not in fields}
        assert added == ADDED.get(name, {})


def test_additions_of_caffe_on_spark() -> None:
    memory = pb.MemoryDataParameter()
    assert memory.share_in_parallel is True
    assert memory.image_encoded is False
    assert memory.dataframe_format == pb.CoSDataParameter().dataframe_format == "parquet"
    top = pb.CoSDataParameter.TopBlob()
    assert (top.sample_num_axes, top.transpose, top.out_channels) == (3, False, 0)
    numbers = [(field.name, field.number) for field in MESSAGES["CoSDataParameter"].field]
    assert numbers == [
        ("source", 1),
        ("batch_size", 2),
        ("shuffle", 3),
        ("dataframe_format", 4),
        ("top", 5),
        ("resize", 10005),  # ours, as in MemoryDataParameter
    ]
    top_fields = MESSAGES["CoSDataParameter"].nested_type[0].field
    assert [(field.name, field.number) for field in top_fields] == [
        ("name", 1),
        ("type", 2),
        ("channels", 3),
        ("height", 4),
        ("width", 5),
        ("sample_num_axes", 6),
        ("transform_param", 7),
        ("out_channels", 8),
        ("out_height", 9),
        ("out_width", 10),
        ("transpose", 11),
    ]
    assert pb.CoSDataParameter.DataType.items() == [
        ("STRING", 0),
        ("INT", 1),
        ("FLOAT", 2),
        ("INT_ARRAY", 3),
        ("FLOAT_ARRAY", 4),
        ("ENCODED_IMAGE", 5),
        ("RAW_IMAGE", 6),
        ("ENCODED_IMAGE_WITH_DIM", 7),
    ]
