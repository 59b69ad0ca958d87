"""The map of rooms to import names: three folders beside minicaffe/ are its sub-packages.

`com` is itself: the names under which CaffeOnSpark's own programs import it.

The prototxts of examples/ are installed with them: `minicaffe warmup` runs some.

Everything else about the package stands in pyproject.toml.
"""

from setuptools import find_namespace_packages, setup

# Import name -> folder. The bare names (`layers`, `kernels`, `distributed`) are never installed.
ROOMS = {
    "minicaffe": "minicaffe",
    "minicaffe.layers": "layers",
    "minicaffe.kernels": "kernels",
    "minicaffe.distributed": "distributed",
    "com": "com",  # the ancestor's names
}


def packages() -> list[str]:
    """Every importable folder of the house, under its import name."""
    names = []
    for name, folder in ROOMS.items():
        below = find_namespace_packages(folder, exclude=["*__pycache__*"])
        names += [name, *(f"{name}.{package}" for package in below)]
    return names


setup(
    packages=[*packages(), "minicaffe.examples"],
    package_dir={**ROOMS, "minicaffe.examples": "examples"},
    package_data={
        "": ["*.proto", "*.pyi", "py.typed", "log4j2.properties"],
        "minicaffe.examples": ["*/*.prototxt"],
        "minicaffe.kernels.cuda": ["_ptx/*.ptx"],  # of `make cuda-ptx`
    },
    scripts=["minicaffe_submit.py"],  # spark-submit takes a file, not a command
)
