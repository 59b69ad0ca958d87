"""Convolution with fewer multiplications (Winograd, 1980; Lavin and Gray, 2015)."""
