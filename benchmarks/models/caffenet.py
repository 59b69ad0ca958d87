"""CaffeNet: AlexNet (Krizhevsky, Sutskever and Hinton, 2012) with pooling before normalisation."""

from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.pycaffe.net_spec import params as P

from . import L, end, start


def net(batch: int = 16, deploy: bool = False) -> pb.NetParameter:
    """Images (batch, 3, 227, 227), 1000 classes."""
    n = start((batch, 3, 227, 227), deploy)
    window = {"pool": P.Pooling.MAX, "kernel_size": 3, "stride": 2}
    response = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}
    n.conv1 = L.Convolution(n.data, num_output=96, kernel_size=11, stride=4)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, **window)
    n.norm1 = L.LRN(n.pool1, **response)
    n.conv2 = L.Convolution(n.norm1, num_output=256, kernel_size=5, pad=2, group=2)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, **window)
    n.norm2 = L.LRN(n.pool2, **response)
    n.conv3 = L.Convolution(n.norm2, num_output=384, kernel_size=3, pad=1)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.conv4 = L.Convolution(n.relu3, num_output=384, kernel_size=3, pad=1, group=2)
    n.relu4 = L.ReLU(n.conv4, in_place=True)
    n.conv5 = L.Convolution(n.relu4, num_output=256, kernel_size=3, pad=1, group=2)
    n.relu5 = L.ReLU(n.conv5, in_place=True)
    n.pool5 = L.Pooling(n.relu5, **window)
    n.fc6 = L.InnerProduct(n.pool5, num_output=4096)
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.drop6 = L.Dropout(n.relu6, dropout_ratio=0.5, in_place=True)
    n.fc7 = L.InnerProduct(n.drop6, num_output=4096)
    n.relu7 = L.ReLU(n.fc7, in_place=True)
    n.drop7 = L.Dropout(n.relu7, dropout_ratio=0.5, in_place=True)
    n.fc8 = L.InnerProduct(n.drop7, num_output=1000)
    return end(n, n.fc8, "CaffeNet", deploy)
