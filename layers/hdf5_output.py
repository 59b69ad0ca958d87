"""HDF5Output: writes two blobs to an HDF5 file, batch after batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.blob import Blob
from minicaffe.errors import extra
from minicaffe.layer import Layer

DATASETS = ("data", "label")


class HDF5OutputLayer(Layer):
    """Two bottoms with the same number of items, as the datasets `data` and `label` of a file.

    `hdf5_output_param`: `file_name`; a file of that name is overwritten when the net is built. The
    datasets are float32 of shape (num, channels, height, width), missing axes 1. Each forward adds
    its items after those of the one before (in Caffe a second forward ends the program). No tops;
    the gradient of the bottoms is 0.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
        layer {
          type: "HDF5Output" name: "store" bottom: "x" bottom: "label"
          hdf5_output_param { file_name: "features.h5" }
        }
    """

    kernels = ("fill",)
    bottoms = (2, 2)
    tops = (0, 0)
    writes = ("hdf5_output_param.file_name",)
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Make the file."""
        self.path: str = self.param.hdf5_output_param.file_name
        if not self.path:
            raise self.error("hdf5_output_param.file_name must be given")
        self._h5py = extra("h5py", "hdf5", f"layer '{self.name}' (HDF5Output)")
        self._open("w").close()

    def _open(self, mode: str) -> Any:
        try:
            return self._h5py.File(self.path, mode)
        except OSError as error:
            raise self.error(f"cannot write {self.path}: {error}") from error

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that both bottoms have the same number of items, and four axes at most."""
        for blob in bottom:
            if blob.num_axes > 4:
                raise self.error(f"takes blobs of at most 4 axes, not of shape {blob.shape}")
        if bottom[0].num != bottom[1].num:
            raise self.error(f"has {bottom[0].num} items of data and {bottom[1].num} labels")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Add the items to the file, which is open only here: it can be read at any time."""
        with self._open("r+") as file:
            for name, blob in zip(DATASETS, bottom, strict=True):
                shape = [blob.legacy_dim(axis) for axis in range(4)]
                self._append(file, name, blob.data.read("cpu").reshape(shape))

    def _append(self, file: Any, name: str, values: NDArray[np.float32]) -> None:
        if name not in file:
            file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
            return
        dataset = file[name]
        if dataset.shape[1:] != values.shape[1:]:
            raise self.error(
                f"'{name}' has items of shape {values.shape[1:]},"
                f" those in {self.path} have {dataset.shape[1:]}"
            )
        rows = len(dataset)
        dataset.resize(rows + len(values), axis=0)
        dataset[rows:] = values

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """A zero gradient."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                self.ops.fill(blob.diff.write(self.device), 0.0)
