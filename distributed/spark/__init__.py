"""CaffeOnSpark in Python, under the ancestor's names.

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource

conf = Config(sc, ["-conf", "lenet_solver.prototxt", "-model", "lenet.model",
                   "-clusterSize", "2", "-features", "ip1", "-label", "label"])
spark = CaffeOnSpark(sc)
spark.train(DataSource.getSource(conf, True))
frame = spark.features(DataSource.getSource(conf, False))

submit.py           the program for spark-submit
options.py          the command line: options, and what their values may be
config.py           Config: the settings of a program
session.py          what a program gives us of Spark
data_source.py      DataSource: a net's data by phase
caffe_on_spark.py   CaffeOnSpark: train, test, features
output.py           where test and features write
frames/             data as a program sees them: samples, features, pictures
preflight.py        what is checked before a job starts
portable.py         nets that mean the same on another machine
driver.py           a training seen from the driver: generations, snapshots, model
training_report.py  what the ranks say of it: metrics, progress, errors
forward_report.py   what tasks of test and features say of it: samples, compilations
executor.py         a rank of a training
inference.py        a task of test or features
task_input.py       what a rank or a task gets
control.py          how the ranks talk to the driver
shipping/           minicaffe itself, the user's modules, and files, on their way to the executors
doctor.py           a table of what would fail on a cluster
slots.py            what the driver asks of a SparkContext: slots, settings, addresses
spark_job.py        a Spark job that can be cancelled, and why it failed
ml/                 CaffeEstimator and CaffeModel, for Spark ML
store_writer.py     DataFrames into stores
stores.py           stores in place of sources that Spark alone can read
tools/              data sets for the others: pictures, captions, databases
"""

from .caffe_on_spark import CaffeOnSpark
from .config import Config
from .data_source import DataSource

__all__ = ["CaffeOnSpark", "Config", "DataSource"]
