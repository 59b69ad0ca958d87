"""The map of rooms to import names: three folders beside minicaffe/ are its sub-packages.

Everything else about the package stands in pyproject.toml.
"""

from setuptools import find_namespace_packages, setup

# Import name -> folder. The bare names (`layers`, `kernels`, `distributed`) are never installed.
ROOMS = {
    "minicaffe": "minicaffe",
    "minicaffe.layers": "layers",
    "minicaffe.kernels": "kernels",
    "minicaffe.distributed": "distributed",
}


def packages() -> list[str]:
    """Every importable folder of the house, under its import name."""
    names = []
    for name, folder in ROOMS.items():
        below = find_namespace_packages(folder, exclude=["*__pycache__*"])
        names += [name, *(f"{name}.{package}" for package in below)]
    return names


setup(
    packages=packages(),
    package_dir=dict(ROOMS),
    package_data={"": ["*.proto", "*.pyi", "py.typed"]},
    scripts=["minicaffe_submit.py"],  # spark-submit takes a file, not a command
)
