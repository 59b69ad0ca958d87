"""Neighbouring layers that run as one: each file names its chains (minicaffe/net/fusion.py)."""
