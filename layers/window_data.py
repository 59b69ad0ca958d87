"""WindowData: batches of windows of pictures, foreground and background (R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.batches import Batches
from minicaffe.data.draws import StreamDraws
from minicaffe.data.sources.windows import WindowOrder, Windows
from minicaffe.proto import minicaffe_pb2 as pb

from ._batched import BatchedLayer


class WindowDataLayer(BatchedLayer):
    """Windows drawn at random from a file of boxes, warped to crop_size x crop_size, and labels.

    The file's words, for each picture: "#", its number from 0, path, channels, height, width, how
    many windows, and for each: label, overlap, x1, y1, x2, y2 (corners included). A batch has
    int(batch_size * fg_fraction) foreground windows at its end, whose overlap is at least
    `fg_threshold`; before them background windows, label 0, whose overlap is below `bg_threshold`.

    `window_data_param`: `source`, `root_folder`, `batch_size`, `fg_threshold` (0.5),
    `bg_threshold` (0.5), `fg_fraction` (0.25), `context_pad` (0): how many pixels of the crop
    around the window show its surroundings; `crop_mode` ("warp", or "square": the window's longer
    side counts), `cache_images` (false): keep the files in memory; `scale` (1). `transform_param`:
    `crop_size`, `mirror`, and `mean_file` (its middle) or `mean_value`. What lies outside a
    picture is 0. Draws are Caffe's for the same random seed. A window that cannot be read is left
    out of its batch. Tops: data (N, 3, S, S), blue first, and label (N).

        layer {
          type: "WindowData" name: "windows" top: "data" top: "label"
          transform_param { crop_size: 227 mirror: true mean_file: "mean.binaryproto" }
          window_data_param { source: "windows.txt" batch_size: 128 context_pad: 16 }
        }
    """

    tops = (2, 2)
    reads = ("window_data_param.source", "window_data_param.root_folder")

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the file of windows and a first picture."""
        param: pb.WindowDataParameter = self.param.window_data_param
        transform = self.param.transform_param
        if param.batch_size == 0 or transform.crop_size == 0:
            raise self.error(
                "window_data_param.batch_size and transform_param.crop_size must be above 0"
            )
        if param.crop_mode not in ("warp", "square"):
            raise self.error(f"crop_mode '{param.crop_mode}': warp or square is expected")
        if 2 * param.context_pad >= transform.crop_size:
            raise self.error(
                f"context_pad {param.context_pad} leaves nothing of crop_size {transform.crop_size}"
            )
        if transform.mean_file and transform.mean_value:
            raise self.error("transform_param: mean_file and mean_value exclude each other")
        if not 0 <= param.fg_fraction <= 1:
            raise self.error(f"fg_fraction {param.fg_fraction:g} is no part of a batch")
        source = Windows(self.param, self.phase)
        # The order of the draws is Caffe's: a transformer's two seeds, which it does not use,
        # around the windows' seed, and the reading thread's.
        rng = context.current().rng
        needs_transformer = transform.mirror or self.phase == pb.TRAIN
        if needs_transformer:
            rng.draw()
        seed = rng.draw()
        rng.draws(1 + needs_transformer)
        order = WindowOrder(
            len(source),
            param.batch_size,
            shuffle=True,
            background=len(source.background),
            fg_fraction=param.fg_fraction,
            mirror=transform.mirror,
            stream=StreamDraws(seed),
        )
        self.batches = Batches(
            source, order, [None, None], StreamDraws(0), depth=self.param.data_param.prefetch
        )
        for blob, value in zip(top, self.batches.first().values, strict=True):
            blob.reshape(param.batch_size, *value.shape)
