"""Data sources, one file each; `source_class` names those that no layer keeps to itself."""
