"""Benchmarks: how fast minicaffe is, beside other libraries on the same work.

`python -m benchmarks` prints and saves tables of ratios, measured in interleaved rounds; `make
bench` runs a small selection under pytest-benchmark. docs/benchmarks.md tells the method.
"""
