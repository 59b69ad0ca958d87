"""Spark ML: `CaffeEstimator(solver=...).fit(df)` gives a CaffeModel, which transforms.

params.py      what can be set, with types and texts
nets.py        the nets of a solver, fed by a DataFrame in place of their own source
columns.py     columns of a DataFrame as the samples of a net
estimator.py   CaffeEstimator: fit
model.py       CaffeModel: transform, save and load
forward.py     a task of transform
"""

from .estimator import CaffeEstimator
from .model import CaffeModel

__all__ = ["CaffeEstimator", "CaffeModel"]
