"""pycaffe's face: what scripts written for pycaffe find behind `import minicaffe as caffe`."""
