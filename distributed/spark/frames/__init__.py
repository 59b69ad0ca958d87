"""Data as a program of Spark sees them: samples, features, pictures.

samples.py      the samples of a data source as an RDD
array_frame.py  DataFrames of arrays of float
display.py      pictures in a notebook
"""
