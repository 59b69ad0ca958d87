"""Data sources, one file each; `source_class` in a prototxt names the class."""
