"""The map of rooms to import names: four folders beside minicaffe/ are its sub-packages.

`com` is itself: the names under which CaffeOnSpark's own programs import it.

The prototxts of examples/ are installed with them: `minicaffe warmup` runs some.

Everything else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

# Import name -> folder. The bare names (`layers`, `kernels`, `distributed`) are never installed.
ROOMS = {
    "minicaffe": "minicaffe",
    "minicaffe.layers": "layers",
    "minicaffe.kernels": "kernels",
    "minicaffe.distributed": "distributed",
    "minicaffe.labs": "labs",
    "com": "com",  # the ancestor's names
}


def packages() -> list[str]:
    """Every importable folder of the house, under its import name."""
    names = []
    for name, folder in ROOMS.items():
        no_code = ["*__pycache__*", "*.templates", *(labs() if folder == "labs" else ())]
        below = find_namespace_packages(folder, exclude=no_code)
        names += [name, *(f"{name}.{package}" for package in below)]
    return names


def labs() -> list[str]:
    """The folders of labs: they are installed as files, not as packages."""
    names = [path.parent.name for path in Path("labs").glob("*/lab.toml")]
    return [pattern for name in names for pattern in (name, f"{name}.*")]


setup(
    packages=[*packages(), "minicaffe.examples"],
    package_dir={**ROOMS, "minicaffe.examples": "examples"},
    package_data={
        "": ["*.proto", "*.pyi", "py.typed", "log4j2.properties"],
        "minicaffe.examples": ["*/*.prototxt"],
        "minicaffe.kernels.cuda": ["_ptx/*.ptx"],  # of `make cuda-ptx`
        "minicaffe.inspection": ["templates/*"],
        "minicaffe.labs": [
            f"{place}*.{kind}"
            for place in ("", "*/", "*/tests/", "*/nets/", "*/given/**/", "*/solution/**/")
            for kind in ("md", "toml", "py", "prototxt", "json", "txt")
        ],
    },
    scripts=["minicaffe_submit.py"],  # spark-submit takes a file, not a command
)
