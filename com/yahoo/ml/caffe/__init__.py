"""The ancestor's names of CaffeOnSpark's classes, for programs that were written for it.

    from com.yahoo.ml.caffe.CaffeOnSpark import CaffeOnSpark
    from com.yahoo.ml.caffe.Config import Config
    from com.yahoo.ml.caffe.DataSource import DataSource
    from com.yahoo.ml.caffe.tools.Vocab import Vocab

A module a class, as there. Programs need Python 3, and nothing else is changed in them: what they
took from the Python and the Spark of their time is in CaffeOnSpark.py. `import caffe` means
minicaffe, where no other Caffe is installed.
"""

from minicaffe.aliases import install_as_caffe

install_as_caffe()
