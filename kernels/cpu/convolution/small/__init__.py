"""Convolution of small planes, with something else than lines in the lanes."""
