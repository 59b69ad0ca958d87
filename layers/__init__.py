"""The layers, one file a type: `create_layer` finds `SoftmaxWithLoss` in `softmax_with_loss.py`."""
