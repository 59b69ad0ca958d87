"""Batches of a data source, read and transformed ahead of time by threads."""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import context
from ..errors import DataError
from ..machine.threads import num_threads
from .draws import Draws, HashedDraws, RandomDraws
from .source import DataSource, Order, Place, Sample
from .transformer import DataTransformer, Shape

log = logging.getLogger("minicaffe.data")

PROBED = 16  # samples looked at for a first good one
MAX_LEFT_OUT = 0.01  # of a source's samples, unless the environment says otherwise
FEW = 3  # samples that may be left out of however small a source, unless it does
WORTH_A_THREAD = 1 << 14  # values of a sample, from which on threads share a batch


class Batch(NamedTuple):
    """The samples of one batch that could be read: their ids, and an array (rows, ...) a top.

    `staged` is what `Batches.stage` gave for each top, where it was called.
    """

    ids: list[str]
    tops: list[NDArray[np.float32]]
    staged: Sequence[Any] = ()


class Batches:
    """The batches of a source in order: `next()`, from where `seek(k)` says.

    `transformers` has one entry a top: a DataTransformer for pictures, None for values that are
    taken as they are. `shapes` are the tops' sample shapes, where the net states them; otherwise
    every batch takes those of its first sample, and the others must have the same. `axes` are the
    axes of the tops that count the samples, where these are not all the first. A sample that
    cannot be read (or does not have the stated shape) is left out and kept in `bad`, number ->
    reason; a batch in which nothing can be read is a DataError. So is a number of samples left out
    beyond MAX_LEFT_OUT of the source's and FEW, or beyond the share MINICAFFE_MAX_LEFT_OUT.

    One thread of its own makes up to `depth` batches in advance; `close()` ends it. Where a source
    may be read by several threads (`DataSource.parallel`) and samples are large, as many as the
    kernels run on (or the context's `data_threads`, if these are more) share the rows of a batch,
    to decode and to transform them; what they make does not depend on their number. It calls
    `stage`, where there is one, with each top of a batch: to begin its way to a device.
    """

    def __init__(
        self,
        source: DataSource,
        order: Order,
        transformers: Sequence[DataTransformer | None],
        draws: RandomDraws,
        *,
        shapes: Sequence[Shape] | None = None,
        axes: Sequence[int] = (),
        depth: int = 4,
    ) -> None:
        self.source = source
        self.order = order
        self.transformers = transformers
        self.draws = draws
        self.shapes = shapes
        self.axes = axes
        self.depth = max(depth, 1)
        self.stage: Callable[[NDArray[np.float32]], Any] | None = None
        self.bad: dict[int, str] = {}
        self._usual: list[Shape] = []  # of the tops in the last batch
        self._next = 0
        self._ahead: deque[Future[Batch]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        threads = max(num_threads(), context.current().data_threads)
        self._threads = threads if source.parallel else 1
        self._makers: ThreadPoolExecutor | None = None
        # A batch in the caller's hands and `depth` in the making never share memory.
        self._memory: list[list[NDArray[np.float32]]] = [[] for _ in range(self.depth + 1)]

    def next(self) -> Batch:
        """The next batch; its arrays are valid until the next call."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="minicaffe-data")
        while len(self._ahead) < self.depth:
            self._ahead.append(self._thread.submit(self._make, self._next + len(self._ahead)))
        batch = self._ahead.popleft().result()
        self._next += 1
        return batch

    def seek(self, k: int) -> None:
        """Make `next()` give batch `k` of the run."""
        if k != self._next:
            self._drop_ahead()
            self._next = k

    @property
    def position(self) -> int:
        """How many samples of the run `next()` has given so far, on all ranks together."""
        return self.order.position(self._next)

    def go_on(self, position: int, seed: int, chance: int | None) -> None:
        """Go on where a run, of however many ranks, had given so many samples.

        `seed` is that of their order, `chance` that of the draws; None leaves the draws alone.
        """
        self._drop_ahead()
        self._next, offset = divmod(position, self.order.batch * self.order.world_size)
        self.order = replace(self.order, seed=seed, offset=offset)
        if chance is not None:
            self.draws = type(self.draws)(chance)

    def read(self, indices: Sequence[int]) -> Batch:
        """These samples of the source, in this order, as a batch of its own, perhaps empty."""
        places = [Place(0, index) for index in indices]
        return self._collect(places, self._draw(HashedDraws(self.order.seed), 0, places), [])

    def close(self) -> None:
        """End the thread and close the source."""
        self._drop_ahead()
        for pool in (self._thread, self._makers):
            if pool is not None:
                pool.shutdown()
        self._thread = self._makers = None
        self.source.close()

    def _drop_ahead(self) -> None:
        for future in self._ahead:
            future.cancel()
        for future in self._ahead:
            if not future.cancelled():
                future.exception()  # wait for the one that is being made
        self._ahead.clear()

    def _make(self, k: int) -> Batch:
        places = self.order.places(k)
        memory = self._memory[k % len(self._memory)]
        batch = self._collect(places, self._draw(self.draws, k, places), memory)
        if not batch.ids:
            raise DataError(
                f"not one of the batch's {len(places)} samples can be read;"
                f" the first: {self.bad[places[0].index]}"
            )
        self._check_left_out()
        if self.stage is not None:
            return batch._replace(staged=[self.stage(top) for top in batch.tops])
        return batch

    def _check_left_out(self) -> None:
        limit, size = most_left_out(len(self.source)), len(self.source)
        if len(self.bad) > limit:
            index, reason = next(reversed(self.bad.items()))
            raise DataError(
                f"{self.source.place()}: {len(self.bad)} of {size} samples cannot be read, {limit}"
                f" may be left out (MINICAFFE_MAX_LEFT_OUT); the last is number {index}: {reason}"
            )

    def _draw(self, draws: RandomDraws, k: int, places: list[Place]) -> Draws:
        count = sum(transformer.draws for transformer in self.transformers if transformer)
        return draws(k, places, count) if count else np.empty((len(places), 0), np.uint32)

    def first(self) -> Sample:
        """The first sample that can be read, not transformed. Raises DataError."""
        if len(self.source) == 0:
            raise DataError(f"{self.source.place()}: holds no samples")
        for index in range(min(len(self.source), PROBED)):
            try:
                return self.source.read(index)
            except DataError as error:
                last = error
        raise last

    def output_shapes(self, values: Sequence[NDArray[Any]]) -> list[Shape]:
        """The shapes of a sample's values once transformed. DataError where they do not fit."""
        return [
            transformer.output_shape(value.shape) if transformer else value.shape
            for transformer, value in zip(self.transformers, values, strict=True)
        ]

    def _collect(
        self, places: list[Place], draws: Draws, memory: list[NDArray[np.float32]]
    ) -> Batch:
        made = self._make_alike(memory, places, draws) or self._make_each(memory, places, draws)
        for place, each in zip(places, made, strict=True):
            if isinstance(each, DataError) and place.index not in self.bad:
                self.bad[place.index] = str(each)
                name = self.source.param.name
                log.warning("layer '%s': skipped sample number %d: %s", name, place.index, each)
        rows = [row for row, each in enumerate(made) if isinstance(each, str)]
        tops = [top if len(rows) == len(made) else top[rows] for top in memory]
        for number, axis in enumerate(self.axes if tops else ()):
            if axis:
                tops[number] = np.ascontiguousarray(np.moveaxis(tops[number], 0, axis))
        self._usual = [top.shape[1:] for top in memory]
        return Batch([each for each in made if isinstance(each, str)], tops)

    def _make_alike(
        self, memory: list[NDArray[np.float32]], places: list[Place], draws: Draws
    ) -> list[str | DataError]:
        """Write samples into their rows at once; their ids.

        None, as an empty list, where they do not lie alike, or are so large that threads share
        them: what takes the time then is not Python's.
        """
        usual = self.shapes or self._usual
        if not places or not usual or sum(map(math.prod, usual)) >= WORTH_A_THREAD:
            return []
        samples = self.source.read_alike([place.index for place in places])
        if samples is None:
            return []
        try:
            shapes = self.output_shapes([value[0] for value in samples.values])
        except DataError:
            return []
        if self.shapes is not None and shapes != list(self.shapes):
            return []
        _allocate(memory, len(places), shapes)
        at = 0
        for value, transformer, top in zip(samples.values, self.transformers, memory, strict=True):
            count = transformer.draws if transformer else 0
            if transformer is None:
                top[...] = value
            elif count == 0:
                transformer.transform(value, top, ())
            else:
                for row, chance in enumerate(draws[:, at : at + count]):
                    transformer.transform(value[row], top[row], chance)
            at += count
        return [*samples.ids]

    def _make_each(
        self, memory: list[NDArray[np.float32]], places: list[Place], draws: Draws
    ) -> list[str | DataError]:
        """Write samples into their rows one by one; the id of each, or why it is left out."""
        made: list[str | DataError] = []
        jobs = list(zip(range(len(places)), places, draws, strict=True))
        if self.shapes is not None:
            _allocate(memory, len(jobs), self.shapes)
        else:  # the first that can be read says what shapes the others must have
            while len(made) < len(jobs) and not any(isinstance(each, str) for each in made):
                made.append(self._make_row(memory, len(jobs), *jobs[len(made)]))
        return made + self._make_rows(memory, jobs[len(made) :])

    def _make_rows(self, memory: list[NDArray[np.float32]], jobs: list[Any]) -> list[Any]:
        """Write samples into their rows, by several threads where that is worth it."""

        def make(some: list[Any]) -> list[str | DataError]:
            return [self._make_row(memory, 0, *job) for job in some]

        threads = min(self._threads, len(jobs))
        if threads < 2 or sum(top[0].size for top in memory) < WORTH_A_THREAD:
            return make(jobs)
        if self._makers is None:
            self._makers = ThreadPoolExecutor(self._threads, thread_name_prefix="minicaffe-data")
        ends = [len(jobs) * part // threads for part in range(threads + 1)]
        parts = [jobs[start:end] for start, end in pairwise(ends)]
        return [each for part in self._makers.map(make, parts) for each in part]

    def _make_row(
        self, memory: list[NDArray[np.float32]], rows: int, row: int, place: Place, chance: Draws
    ) -> str | DataError:
        """Write a sample into its row of the tops; its id, or why it is left out.

        With `rows`, it is the first of so many, and says what shapes the others must have.
        """
        try:
            sample = self.source.read(place.index)
            shapes = self.output_shapes(sample.values)
            for number, shape in enumerate(self.shapes or ()):
                if shapes[number] != shape:
                    raise DataError(
                        f"sample {sample.id} has shape {shapes[number]}, the net takes {shape}"
                    )
        except DataError as error:
            return error
        if rows:
            _allocate(memory, rows, shapes)
        elif any(top.shape[1:] != shape for top, shape in zip(memory, shapes, strict=True)):
            raise DataError(
                f"sample {sample.id} has shape {shapes[0]}, the first of its batch"
                f" {memory[0].shape[1:]}: give a crop_size, or batch_size 1"
            )
        self._put(sample, memory, row, chance)
        return sample.id

    def _put(
        self, sample: Sample, tops: list[NDArray[np.float32]], row: int, chance: Draws
    ) -> None:
        at = 0
        for value, transformer, top in zip(sample.values, self.transformers, tops, strict=True):
            if transformer is None:
                top[row] = value
            else:
                transformer.transform(value, top[row], chance[at : at + transformer.draws])
                at += transformer.draws


def most_left_out(size: int) -> int:
    """How many samples of a source of this size may be left out.

    Raises DataError for a MINICAFFE_MAX_LEFT_OUT that is no share.
    """
    text = os.environ.get("MINICAFFE_MAX_LEFT_OUT")
    if not text:
        return max(int(MAX_LEFT_OUT * size), FEW)
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise DataError(f"MINICAFFE_MAX_LEFT_OUT must be a share from 0 to 1, not '{text}'")
    return int(share * size)


def _allocate(memory: list[NDArray[np.float32]], rows: int, shapes: Sequence[Shape]) -> None:
    if [top.shape for top in memory] != [(rows, *shape) for shape in shapes]:
        memory[:] = [np.empty((rows, *shape), np.float32) for shape in shapes]
