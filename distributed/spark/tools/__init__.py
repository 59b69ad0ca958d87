"""The ancestor's tools, which make data sets for training: `python -m` this package, or by name.

    spark-submit minicaffe_submit.py Binary2DataFrame -imageRoot R -labelFile L -output O
    python -m minicaffe.distributed.spark.tools Binary2DataFrame -imageRoot R ...

binary2sequence.py          a list of pictures as a SequenceFile
binary2dataframe.py         ... as a DataFrame
lmdb2sequence.py            an LMDB as a SequenceFile
lmdb2dataframe.py           ... as a DataFrame
coco_data_set_converter.py  COCO's captions: the vocabulary, pictures with their captions in numbers
conversions.py              the steps of it
df_conversions.py           the same under the names of the ancestor's Python, and pictures as HTML
vocab.py                    words and their ids
captioner.py                sentences for pictures, by a net for training
beam_search.py              the search for the likeliest ones
predictions.py              the same on a DataFrame
tool.py                     what the programs have in common
listed_pictures.py          lists of pictures, and the pictures
lmdb_records.py             the records of an LMDB, in parts
"""

from .df_conversions import DFConversions
from .tool import main, open_tool
from .vocab import Vocab

__all__ = ["DFConversions", "Vocab", "main", "open_tool"]
