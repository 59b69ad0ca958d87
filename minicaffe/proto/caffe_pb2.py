"""The messages under the name that pycaffe gives them: `from minicaffe.proto import caffe_pb2`."""

from .minicaffe_pb2 import *
