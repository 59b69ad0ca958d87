"""Make the pages of the layers, docs/layers/*.md, from the layers' own docstrings: `make docs`.

A page holds the docstring, the fields of the parameter messages that it names with their types and
defaults (read from the schema), the example prototxt and the shapes that it gives.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import minicaffe
from minicaffe import context
from minicaffe.device import known_devices
from minicaffe.layer import known_types, layer_class
from minicaffe.layer_example import example_net, example_text, needs_files
from minicaffe.net.net import Net
from minicaffe.pycaffe.net_spec import LAYER_FIELDS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "layers"
NOTE = "<!-- made by docs/build.py from the layer's docstring: change it there -->"


def page(layer_type: str) -> str:
    """The page of one layer type, in Markdown."""
    doc = inspect.getdoc(layer_class(layer_type)) or ""
    example = example_text(layer_type)
    text = doc[: doc.index(example.splitlines()[0])].rstrip()
    parts = [NOTE, f"# {layer_type}", markdown(text)]
    for field in re.findall(r"`(\w+_param)`", text):
        if field in LAYER_FIELDS:
            parts.append(field_table(field))
    parts.append(f"## Example\n\n```protobuf\n{example}\n```")
    if not needs_files(layer_type):
        parts.append(shape_table(layer_type))
    name = known_types()[layer_type]
    parts.append(f"Code: [layers/{name}.py](../../layers/{name}.py){kernel_links(layer_type)}")
    return "\n\n".join(parts) + "\n"


def markdown(text: str) -> str:
    """Docstring text as Markdown: what is indented is code."""
    paragraphs = []
    for block in text.split("\n\n"):
        if block.startswith("    "):
            block = f"```\n{textwrap.dedent(block)}\n```"
        paragraphs.append(block)
    return "\n\n".join(paragraphs)


def field_table(name: str) -> str:
    """The fields of a parameter message, with their types and defaults."""
    message = LAYER_FIELDS[name].message_type
    rows = [f"## `{name}`", "", "| field | type | default |", "|---|---|---|"]
    for field in message.fields:
        rows.append(f"| `{field.name}` | {type_of(field)} | {default_of(field)} |")
    return "\n".join(rows)


def type_of(field: Any) -> str:
    """The type of a field in the words of the schema."""
    if field.enum_type is not None:
        kind = " ".join(f"`{value.name}`" for value in field.enum_type.values)
    elif field.message_type is not None:
        kind = field.message_type.name
    else:
        names = {5: "int32", 3: "int64", 13: "uint32", 4: "uint64", 2: "float", 1: "double"}
        kind = names.get(field.type, {8: "bool", 9: "string", 12: "bytes"}.get(field.type, "?"))
    return f"{kind}, repeated" if field.is_repeated else kind


def default_of(field: Any) -> str:
    """The default of a field, empty where it has none."""
    if field.is_repeated or field.message_type is not None or not field.has_default_value:
        return "required" if getattr(field, "is_required", False) else ""
    if field.enum_type is not None:
        return f"`{field.enum_type.values_by_number[field.default_value].name}`"
    value = field.default_value
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def shape_table(layer_type: str) -> str:
    """The shapes of the example's blobs and parameters."""
    with context.fresh("reference"):
        net = Net(example_net(layer_type), minicaffe.TRAIN)
    rows = ["| blob | shape |", "|---|---|"]
    rows += [f"| {name} | {blob.shape} |" for name, blob in net.blob_dict.items()]
    for name, blob in zip(net.flat_params.names, net.flat_params.blobs, strict=True):
        rows.append(f"| parameter {name} | {blob.shape} |")
    return "\n".join(rows)


def kernel_links(layer_type: str) -> str:
    """Links to the kernels of the layer's families."""
    links = [
        f"[{device}/{family}](../../kernels/{path})"
        for family in layer_class(layer_type).kernels
        for device in sorted(known_devices(), key="reference".__ne__)
        for path in (f"{device}/{family}.py", f"{device}/{family}/__init__.py")
        if (ROOT / "kernels" / path).is_file()
    ]
    return f"; kernels: {', '.join(links)}" if links else ""


def index() -> str:
    """The list of all pages."""
    rows = [NOTE, "# The layers", "", "| type | what it is |", "|---|---|"]
    for layer_type, module in known_types().items():
        summary = (inspect.getdoc(layer_class(layer_type)) or "").split("\n\n")[0]
        rows.append(f"| [{layer_type}]({module}.md) | {' '.join(summary.split())} |")
    rows.append("| Python | a class of yours, derived from `minicaffe.Layer` |")
    return "\n".join(rows) + "\n"


def pages() -> dict[str, str]:
    """All pages by file name."""
    made = {f"{module}.md": page(layer_type) for layer_type, module in known_types().items()}
    return {"README.md": index(), **made}


def main() -> int:
    """Write the pages; remove those of layers that are gone."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    print(f"{FOLDER}: {len(made)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
