"""Pictures in a notebook, under the ancestor's names."""

from minicaffe.distributed.spark.frames.display import (
    get_np_array,
    image_tag,
    show_df,
    show_network,
)

__all__ = ["get_np_array", "image_tag", "show_df", "show_network"]
