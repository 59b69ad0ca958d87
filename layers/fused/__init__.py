"""Neighbouring layers that run as one: one file a chain of types (minicaffe/net/fusion.py)."""
