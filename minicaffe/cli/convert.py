"""Make a database of records from a data set in its original files."""

BELOW = "minicaffe.convert"
