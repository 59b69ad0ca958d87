"""CoSData: batches of any number of tops from the columns of a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.data.source import Sample, open_source
from minicaffe.data.transformer import DataTransformer, Shape
from minicaffe.errors import DataError
from minicaffe.proto import minicaffe_pb2 as pb

from ._batched import BatchedLayer

_KIND = pb.CoSDataParameter
NUMBERS = (_KIND.STRING, _KIND.INT, _KIND.FLOAT)
IMAGES = (_KIND.ENCODED_IMAGE, _KIND.RAW_IMAGE, _KIND.ENCODED_IMAGE_WITH_DIM)


class CoSDataLayer(BatchedLayer):
    """Each top a column of one DataFrame, row after row, shuffled in every epoch of phase TRAIN.

    `cos_data_param`: `source`, a folder of Parquet files, a store, or in a Spark job whatever Spark
    reads in `dataframe_format` (parquet); `batch_size`, N; `resize` (false; Spark's -resize sets
    it): images are scaled to their top's height x width; and a `top` for each top of the layer:

    `name`: the column. `type`: STRING, INT or FLOAT, a number in a column of any such type;
    INT_ARRAY or FLOAT_ARRAY; ENCODED_IMAGE, a JPEG, PNG ... decoded to `channels`; RAW_IMAGE, its
    bytes, all channels of a pixel together; ENCODED_IMAGE_WITH_DIM, a struct of image, height and
    width, which the decoded image must have. `channels`, `height`, `width`: of a value; 0 stands
    for an image's own, and for 1 in a number. `transform_param`: see DataTransformer, for images
    and arrays of three axes. `out_channels`, `out_height`, `out_width`: of what comes out of it,
    where it is not what goes in. `sample_num_axes` (3): the top is N and the first so many of the
    three. `transpose` (false): (channels, N), time first, for recurrent layers; sample_num_axes
    must be 1.

    The column `id`, if there is one, names and sorts the rows. A row is left out of its batch if
    any of its values cannot be used. `source_class` may be left out: it is DataFrameSource.

        layer {
          type: "CoSData" name: "captions" top: "data" top: "words"
          source_class: "com.yahoo.ml.caffe.DataFrameSource"
          cos_data_param {
            source: "captions_parquet" batch_size: 16
            top {
              name: "data" type: ENCODED_IMAGE channels: 3 height: 256 width: 256
              out_height: 227 out_width: 227 transform_param { crop_size: 227 mirror: true }
            }
            top { name: "words" type: INT_ARRAY channels: 21 sample_num_axes: 1 transpose: true }
          }
        }
    """

    tops = (1, None)
    reads = ("cos_data_param.source",)
    small_files = ("cos_data_param.top.transform_param.mean_file",)

    @classmethod
    def fed_by(cls, param: pb.LayerParameter) -> tuple[str, str]:
        """What `source_class` names, DataFrameSource where it is left out."""
        return param.source_class or "DataFrameSource", param.cos_data_param.source

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Open the source; give the tops the shapes of its first row."""
        param = self.param.cos_data_param
        if param.batch_size == 0:
            raise self.error("cos_data_param.batch_size must be given, and be above 0")
        if len(param.top) != len(top):
            raise self.error(f"has {len(top)} tops, and cos_data_param {len(param.top)}")
        for column in param.top:
            self._check(column)
        transformers = [self._transformer(column) for column in param.top]
        source = open_source(self.fed_by(self.param)[0], self.param, self.phase)
        axes = [int(column.transpose) for column in param.top]
        self.batches = self.shuffled(source, param.batch_size, transformers, axes)
        sample = self.batches.first()
        self.batches.shapes = self._shapes(sample)
        for blob, shape, turned in zip(top, self.batches.shapes, axes, strict=True):
            rows = param.batch_size
            blob.reshape((*shape, rows) if turned else (rows, *shape))

    def batch_axis(self, index: int) -> int:
        """1 for a top that is time first."""
        return int(self.param.cos_data_param.top[index].transpose)

    def _check(self, column: pb.CoSDataParameter.TopBlob) -> None:
        """Refuse what cannot be, whatever the data are."""
        where = f"top '{column.name}' of cos_data_param"
        if not column.name:
            raise self.error("each top of cos_data_param must have a name, its column's")
        if column.sample_num_axes > 3:
            raise self.error(f"{where}: sample_num_axes {column.sample_num_axes}; 0 to 3 are known")
        if column.transpose and column.sample_num_axes != 1:
            raise self.error(f"{where}: transpose needs sample_num_axes 1")
        if column.type in NUMBERS and max(column.channels, column.height, column.width) > 1:
            raise self.error(f"{where}: a number has no more than 1 channel, row and column")
        if column.type not in IMAGES:
            return
        if column.sample_num_axes != 3:
            raise self.error(f"{where}: an image has sample_num_axes 3")
        if self.param.cos_data_param.resize and not (column.height and column.width):
            raise self.error(f"{where}: resize needs height and width")

    def _transformer(self, column: pb.CoSDataParameter.TopBlob) -> DataTransformer | None:
        if column.type in IMAGES or column.HasField("transform_param"):
            return DataTransformer(column.transform_param, self.phase)
        return None

    def _shapes(self, sample: Sample) -> list[Shape]:
        """The shapes of a row's values in the tops. LayerError where the prototxt has others."""
        assert self.batches is not None
        columns = self.param.cos_data_param.top
        try:
            shapes = self.batches.output_shapes(sample.values)
        except DataError as error:
            raise self.error(f"row {sample.id} does not fit its transform_param: {error}") from None
        for column, shape in zip(columns, shapes, strict=True):
            cut = column.transform_param.crop_size
            own = (column.channels, 0 if cut else column.height, 0 if cut else column.width)
            out = (column.out_channels, column.out_height, column.out_width)
            wanted = [new or old for new, old in zip(out, own, strict=True)]
            if column.type in IMAGES and any(
                dim not in (0, found) for dim, found in zip(wanted, shape, strict=True)
            ):
                raise self.error(
                    f"top '{column.name}' of cos_data_param asks for (channels, height, width)"
                    f" {tuple(wanted)}, row {sample.id} gives {shape}"
                )
        return shapes
