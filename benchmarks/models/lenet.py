"""LeNet, as Caffe's example trains it on MNIST."""

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import params as P

from . import L, end, start


def net(batch: int = 64, deploy: bool = False) -> pb.NetParameter:
    """Images (batch, 1, 28, 28), 10 classes."""
    n = start((batch, 1, 28, 28), deploy)
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=5)
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10)
    return end(n, n.ip2, "LeNet", deploy)
