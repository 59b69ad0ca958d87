"""Make a database of the pictures in a list: minicaffe convert_imageset ROOT/ LIST DB"""

from ..convert.imageset import configure, run

__all__ = ["configure", "run"]
