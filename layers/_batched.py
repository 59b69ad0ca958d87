"""What the layers that are fed from a data source have in common."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import context
from minicaffe.blob import Blob
from minicaffe.data.batches import Batch, Batches
from minicaffe.data.draws import HashedDraws
from minicaffe.data.source import DataSource, Order
from minicaffe.data.staging import stager, unstage
from minicaffe.data.transformer import DataTransformer
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class BatchedLayer(Layer):
    """A layer without bottoms, whose tops are the batches of `self.batches`.

    The tops take as many rows as the batch has samples that can be read.
    """

    bottoms = (0, 0)
    batches: Batches | None = None
    loaded: Batch | None = None
    ids: Sequence[str] = ()  # of the samples in the tops
    moves = True

    def share(self) -> tuple[int, int]:
        """(rank, world_size) of the samples: the ranks share them in phase TRAIN only."""
        here = context.current()
        return (here.solver_rank, here.solver_count) if self.phase == pb.TRAIN else (0, 1)

    def common_seed(self, needed: bool, what: str) -> int | None:
        """The seed that all ranks have, if they have one; LayerError where it is needed to share.

        `needed` says that the order of the samples depends on it, `what` what they are.
        """
        seed = context.current().data_seed
        if seed is None and needed and self.share()[1] > 1:
            raise self.error(f"several ranks need a common data_seed to share the {what}")
        return seed

    def shuffled(
        self,
        source: DataSource,
        batch_size: int,
        transformers: Sequence[DataTransformer | None],
        axes: Sequence[int] = (),
    ) -> Batches:
        """Batches of a source: shuffled in phase TRAIN, and shared among the ranks.

        In phase TEST they come in order. What chance does to a sample depends on seed, epoch and
        sample, not on the rank. `axes` as in Batches.
        """
        train = self.phase == pb.TRAIN
        seed = self.common_seed(train, "samples")
        if seed is None:
            seed = context.current().rng.draw() if train else 0
        rank, world_size = self.share()
        order = Order(
            len(source),
            batch_size,
            shuffle=train,
            seed=seed,
            rank=rank,
            world_size=world_size,
            groups=source.groups,
        )
        return Batches(source, order, transformers, HashedDraws(seed), axes=axes)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The tops get their shapes with the batch, in forward."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the batch that was loaded, or the next one of the run."""
        assert self.batches is not None
        self.batches.stage = stager(self.device)
        batch, self.loaded = self.loaded or self.batches.next(), None
        self.ids = batch.ids
        for number, (blob, values) in enumerate(zip(top, batch.tops, strict=False)):
            blob.reshape(values.shape)
            if batch.staged:
                unstage(batch.staged[number], blob.data, self.device)
            else:
                blob.data.write("cpu")[...] = values

    def load(self, indices: Sequence[int]) -> list[str]:
        """Make the next forward give these samples of the source; returns the ids it will have.

        Samples that cannot be read are missing from the ids.
        """
        assert self.batches is not None
        self.loaded = self.batches.read(indices)
        return self.loaded.ids

    def seek(self, batch: int) -> None:
        """Make the next forward give batch number `batch` of the run."""
        if self.batches is not None:
            self.batches.seek(batch)

    def close(self) -> None:
        """End the reading thread and close the source."""
        if self.batches is not None:
            self.batches.close()
