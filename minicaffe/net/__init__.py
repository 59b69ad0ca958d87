"""The net: its nodes, their graph, parameters and weights, and what is planned or told about it."""
