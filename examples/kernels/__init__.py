"""From the naive loop to the packed tile: the steps of docs/kernels.md, to run, time and change."""
