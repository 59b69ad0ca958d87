"""ImageData: batches of picture files that a list names."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.batches import Batches
from minicaffe.data.draws import StreamDraws
from minicaffe.data.sources.listed_images import ListedImages, ListOrder
from minicaffe.data.transformer import DataTransformer
from minicaffe.proto import minicaffe_pb2 as pb

from ._batched import BatchedLayer


class ImageDataLayer(BatchedLayer):
    """Pictures and labels from the files that a list names, one "path label" a line.

    `image_data_param`: `source`, the list; `root_folder`, put before its paths as it is;
    `batch_size` (1); `new_height` and `new_width` (0: as stored), to which pictures are scaled;
    `is_color` (true: blue, green, red; false: grey); `shuffle` (false), anew before each pass;
    `rand_skip` (0): skip up to so many lines less one at the start. `transform_param`: see
    DataTransformer. Shuffles, skips, windows and mirrors are Caffe's for the same random seed.
    Several ranks share the lines among them in phase TRAIN: line i is for rank i mod ranks (in
    Caffe each would read all of them). A file that cannot be read is left out of its batch, and
    named in the log. Tops: data (N, C, H, W) and label (N).

        layer {
          type: "ImageData" name: "pictures" top: "data" top: "label"
          transform_param { mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
          image_data_param {
            source: "train.txt" root_folder: "pictures/" batch_size: 32 shuffle: true
            new_height: 227 new_width: 227
          }
        }
    """

    tops = (2, 2)
    reads = ("image_data_param.source", "image_data_param.root_folder")

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the list and its first picture."""
        param: pb.ImageDataParameter = self.param.image_data_param
        if param.batch_size == 0:
            raise self.error("image_data_param.batch_size must be above 0")
        if (param.new_height == 0) != (param.new_width == 0):
            raise self.error("image_data_param: give both of new_height and new_width, or neither")
        transformer = DataTransformer(self.param.transform_param, self.phase)
        source = ListedImages(self.param, self.phase)
        here = context.current()
        common = self.common_seed(bool(param.shuffle or param.rand_skip), "pictures")
        rank, world_size = self.share()
        # The order of the draws is Caffe's: the transformer's first seed (not used), the list's,
        # the skip, the transformer's second seed, the reading thread's.
        if transformer.draws:
            here.rng.draw()
        seed = here.rng.draw() if param.shuffle else 0
        skip = here.rng.draw() % param.rand_skip if param.rand_skip else 0
        if world_size > 1 and common is not None:
            seed = common
            skip = common % param.rand_skip if param.rand_skip else 0
        if skip >= len(source):
            raise self.error(f"rand_skip passes over {skip} lines, the list has {len(source)}")
        chance = here.rng.draw() if transformer.draws else 0
        here.rng.draw()
        order = ListOrder(
            len(source),
            param.batch_size,
            shuffle=param.shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            skip=skip,
        )
        self.batches = Batches(
            source,
            order,
            [transformer, None],
            StreamDraws(chance),
            depth=self.param.data_param.prefetch,
        )
        shapes = self.batches.output_shapes(self.batches.first().values)
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(param.batch_size, *shape)
