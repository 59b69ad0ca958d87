"""Who may import whom: rooms import the core, the core no room, nobody the top floor.

The labs stand on the top floor: they import anything, and only the command finds them, by name.

And the measures of the house: no circles, nothing private from elsewhere, nothing too long.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import CHECKOUT

ROOMS = ("layers", "kernels", "distributed")
TOP_FLOOR = ("benchmarks", "tests", "examples", "labs")

# What a folder may import when it is itself imported. Everything else is imported where it is used.
AT_ONCE = {
    "minicaffe": {"numpy", "google"},
    "minicaffe/ptx/fast": {"numpy", "llvmlite"},
    "layers": {"numpy", "google"},
    "kernels": {"numpy"},
    "kernels/cpu": {"numpy", "numba", "llvmlite"},
    "kernels/cuda": {"numpy"},
    "kernels/cuda/_compile": {"numpy", "numba", "llvmlite"},
    "distributed": {"numpy"},
    "distributed/spark": {"numpy", "pyspark"},
    "labs": {"numpy", "pytest"},  # pytest where a plugin of its own runs; commands have neither
    "labs/commands": set(),
}

MOST_FILES = 25  # of a folder, on one level
ONE_FILE_EACH = ("layers", "minicaffe/cli")  # a layer type, a command; in kernels/<device> a family
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 60
MOST_ARGUMENTS = 10  # without a docstring that says why there are more


def sources() -> list[Path]:
    """Every source file of the core, the rooms and the labs, relative to the checkout."""
    found: list[Path] = []
    for folder in ("minicaffe", *ROOMS, "labs"):
        found += (path.relative_to(CHECKOUT) for path in (CHECKOUT / folder).rglob("*.py"))
    return sorted(
        path for path in found if not path.name.endswith("_pb2.py") and not is_of_a_lab(path)
    )


def is_of_a_lab(path: Path) -> bool:
    """Whether a file is a lab's own: a test, a solution, what students are given."""
    return path.parts[0] == "labs" and (CHECKOUT / "labs" / path.parts[1] / "lab.toml").is_file()


def module_of(path: Path) -> str:
    """The import name of a file: layers/relu.py is minicaffe.layers.relu."""
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts if parts[0] == "minicaffe" else ["minicaffe", *parts])


def statements(body: list[ast.stmt], deep: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements of a body, those for types too; with `deep`, those inside functions."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif deep or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, field, [])
                yield from statements(
                    [part for block in inner for part in getattr(block, "body", [block])]
                    if field == "handlers"
                    else inner,
                    deep,
                )


@cache
def imports(path: Path, deep: bool) -> list[tuple[str, int, bool]]:
    """(module, line, relative) of what a file imports; names of submodules are spelled out."""
    tree = ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    found = []
    for node in statements(tree.body, deep):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, False) for alias in node.names]
            continue
        base = node.module or ""
        if node.level:
            start = package[: len(package) - node.level + 1]
            base = ".".join([*start, *([node.module] if node.module else [])])
        names = {f"{base}.{alias.name}" for alias in node.names} & modules().keys()
        found += [(name, node.lineno, node.level > 0) for name in sorted(names) or [base]]
    return found


@cache
def modules() -> dict[str, Path]:
    """Every module by its import name."""
    return {module_of(path): path for path in sources()}


def room_of(module: str) -> str:
    """ "layers" for minicaffe.layers.relu, "minicaffe" for the core, "" for other packages."""
    parts = module.split(".")
    if parts[0] != "minicaffe":
        return ""
    return parts[1] if len(parts) > 1 and parts[1] in (*ROOMS, "labs") else "minicaffe"


def test_rooms_import_only_the_core_and_themselves() -> None:
    faults = []
    for path in sources():
        own = room_of(module_of(path))
        for module, line, relative in imports(path, deep=True):
            room = room_of(module)
            if own != "labs" and room not in ("", "minicaffe", own):
                faults.append(f"{path}:{line} imports the room of {module}")
            if own != "minicaffe" and room == own and not relative:
                faults.append(f"{path}:{line} imports {module}: inside a room imports are relative")
            if own != "minicaffe" and room == "minicaffe" and relative:
                faults.append(f"{path}:{line} imports {module}: write it in full")
    assert not faults, "\n".join(faults)


def test_nobody_imports_the_top_floor() -> None:
    faults = []
    for path in sources():
        for module, line, _ in imports(path, deep=True):
            top = module.removeprefix("minicaffe.").split(".")[0]
            inside = path.parts[0] == top == "labs"
            if top in TOP_FLOOR and not inside:
                faults.append(f"{path}:{line} imports {module}")
    assert not faults, "\n".join(faults)


def test_libraries_are_imported_where_they_are_used() -> None:
    faults = []
    for path in sources():
        folder = max((key for key in AT_ONCE if path.is_relative_to(key)), key=len)
        allowed = AT_ONCE[folder] | {"minicaffe"} | sys.stdlib_module_names
        for module, line, _ in imports(path, deep=False):
            library = module.split(".")[0]
            if library not in allowed:
                may = ", ".join(sorted(AT_ONCE[folder]))
                faults.append(f"{path}:{line} imports {library} at once; {folder} may: {may}")
    assert not faults, "\n".join(faults)


def test_nobody_imports_what_is_private_elsewhere() -> None:
    faults = []
    for path in sources():
        module = module_of(path)
        for name, line, _ in imports(path, deep=True):
            owner = owner_of(name)
            if owner and not f"{module}.".startswith(f"{owner}."):
                faults.append(f"{path}:{line} imports {name}, which is private to {owner}")
    assert not faults, "\n".join(faults)


def owner_of(module: str) -> str:
    """The package that a module is private to: minicaffe.a for minicaffe.a._b.c; "" for none."""
    if room_of(module):
        parts = module.split(".")
        for depth, part in enumerate(parts):
            if part.startswith("_"):
                return ".".join(parts[:depth])
    return ""


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {
            module
            for module, _, _ in imports(path, deep=False)
            if module in modules() and module != name
        }
        for name, path in modules().items()
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                walk(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


def test_the_rules_see_what_they_should() -> None:
    tree = ast.parse(
        "import a\n"
        "if TYPE_CHECKING:\n    import b\n"
        "try:\n    import c\nexcept ImportError:\n    import d\n"
        "class K:\n    import e\n"
        "def f():\n    with x:\n        import g\n"
    )

    def names(deep: bool) -> list[str]:
        return [alias.name for node in statements(tree.body, deep) for alias in node.names]

    assert names(deep=False) == ["a", "b", "c", "d", "e"]
    assert names(deep=True) == ["a", "b", "c", "d", "e", "g"]
    assert owner_of("minicaffe.cli._commands") == "minicaffe.cli"
    assert owner_of("minicaffe.kernels.cpu._compile.jit") == "minicaffe.kernels.cpu"
    assert owner_of("minicaffe.net.net") == owner_of("_thread") == ""


# --- measures ------------------------------------------------------------------------------------


def test_a_folder_is_seen_at_a_glance() -> None:
    count = Counter(path.parent.as_posix() for path in sources())
    many = {
        folder: files
        for folder, files in count.items()
        if files > MOST_FILES
        and folder not in ONE_FILE_EACH
        and Path(folder).parent != Path("kernels")
    }
    assert not many


def test_files_and_functions_are_short() -> None:
    faults = []
    for path in sources():
        text = (CHECKOUT / path).read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES_OF_A_FILE:
            faults.append(f"{path} has more than {MOST_LINES_OF_A_FILE} lines")
        faults += (f"{path}, {fault}" for fault in long_functions(ast.parse(text)))
    assert not faults, "\n".join(faults)


def long_functions(tree: ast.Module) -> Iterator[str]:
    """What is wrong with functions: too many lines, or arguments that no docstring explains."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield f"line {node.lineno}: {node.name} has {lines} lines"
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if len(arguments) > MOST_ARGUMENTS and not ast.get_docstring(node):
                yield f"line {node.lineno}: {node.name} has {len(arguments)} arguments, unexplained"


def test_the_measures_see_what_they_should() -> None:
    names = ", ".join("abcdefghijk")
    body = "    pass\n" * MOST_LINES_OF_A_FUNCTION
    source = (
        f"def many({names}): pass\n"
        f"def explained({names}):\n    'These are the fields of a table.'\n"
        f"class K:\n    async def named(a, /, b, *, {', '.join('cdefghijk')}): pass\n"
        f"def long():\n{body}"
    )
    assert sorted(long_functions(ast.parse(source))) == [
        "line 1: many has 11 arguments, unexplained",
        "line 5: named has 11 arguments, unexplained",
        "line 6: long has 61 lines",
    ]
