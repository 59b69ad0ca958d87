"""CaffeOnSpark in Python, under the ancestor's names.

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

conf = Config(sc, ["-conf", "lenet_solver.prototxt", "-model", "lenet.model",
                   "-clusterSize", "2", "-features", "ip1", "-label", "label"])
spark = CaffeOnSpark(sc)
spark.train(DataSource.getSource(conf, True))
frame = spark.features(DataSource.getSource(conf, False))

config.py           Config: the command line
data_source.py      DataSource: a net's data by phase
caffe_on_spark.py   CaffeOnSpark: train, test, features
preflight.py        what is checked before a job starts; nets.py: nets that travel
driver.py           a training seen from the driver: jobs, metrics, model
executor.py         a rank; jobs.py: what it gets; control.py: how it talks to the driver
session.py          slots, code and jobs of a SparkContext
submit.py           the program for spark-submit
"""

from .caffe_on_spark import CaffeOnSpark
from .config import Config
from .data_source import DataSource

__all__ = ["CaffeOnSpark", "Config", "DataSource"]
