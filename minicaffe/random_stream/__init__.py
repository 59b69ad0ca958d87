"""Random numbers, bit for bit those of Caffe: the generator and its normal distribution."""
