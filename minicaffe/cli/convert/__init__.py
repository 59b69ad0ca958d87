"""Make a database of records from a data set in its original files.

Each file of this folder is a subcommand of `minicaffe convert` (docstring, `configure`, `run`)
around a function that a program can call: `convert_mnist(images, labels, database)`.
"""

BELOW = __name__
