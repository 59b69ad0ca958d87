"""Data sets in their original files -> databases of records, one file a data set.

Each file is a subcommand of `minicaffe convert` (docstring, `configure`, `run`) around a function
that a program can call: `convert_mnist(images, labels, database)`.
"""
