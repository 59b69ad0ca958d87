"""ImageDataFrameParquet: what CaffeOnSpark's first prototxts call ImageDataFrame."""

from .image_data_frame import ImageDataFrame


class ImageDataFrameParquet(ImageDataFrame):
    """See ImageDataFrame."""
