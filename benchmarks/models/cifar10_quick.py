"""CIFAR-10 quick, a small net of Caffe's examples."""

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import params as P

from . import L, end, start


def net(batch: int = 100, deploy: bool = False) -> pb.NetParameter:
    """Images (batch, 3, 32, 32), 10 classes."""
    n = start((batch, 3, 32, 32), deploy)
    window = {"kernel_size": 3, "stride": 2}
    n.conv1 = L.Convolution(n.data, num_output=32, kernel_size=5, pad=2)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, **window)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, num_output=32, kernel_size=5, pad=2)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, pool=P.Pooling.AVE, **window)
    n.conv3 = L.Convolution(n.pool2, num_output=64, kernel_size=5, pad=2)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.pool3 = L.Pooling(n.relu3, pool=P.Pooling.AVE, **window)
    n.ip1 = L.InnerProduct(n.pool3, num_output=64)
    n.ip2 = L.InnerProduct(n.ip1, num_output=10)
    return end(n, n.ip2, "CIFAR-10 quick", deploy)
