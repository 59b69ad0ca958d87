"""Whole nets: inference, also for one image; forward and backward; an iteration of training."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.proto.text import format_text

from .cases import FORWARD, FORWARD_BACKWARD, TRAIN, Case
from .models import caffenet, cifar10_quick, googlenet, lenet, resnet50

# model, batch, classes
NETS = (
    (lenet, 64, 10),
    (cifar10_quick, 100, 10),
    (caffenet, 16, 1000),
    (googlenet, 8, 1000),
    (resnet50, 8, 1000),
)


def nets(other_batch: int | None = None) -> Iterator[Case]:
    """Every net in inference (phase TEST, forward), and in training without and with an update."""
    for model, usual_batch, classes in NETS:
        batch = other_batch or usual_batch
        for work in (FORWARD, FORWARD_BACKWARD, TRAIN):
            param = model.net(batch, deploy=work == FORWARD)
            name = f"{param.name}, batch {batch}"
            yield Case("nets", name, format_text(param), work, classes)


def one_image() -> Iterator[Case]:
    """Every net in inference for one image at a time, as people classify."""
    for model, _, classes in NETS:
        param = model.net(1, deploy=True)
        name = f"{param.name}, batch 1"
        yield Case("one_image", name, format_text(param), FORWARD, classes)
