"""DFConversions, with what the ancestor's module has beside it."""

from minicaffe.distributed.spark.tools.df_conversions import (
    DFConversions,
    get_image,
    show_captions,
)

__all__ = ["DFConversions", "get_image", "show_captions"]
