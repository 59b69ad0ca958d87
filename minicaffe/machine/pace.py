"""When the next line about long work is due, where no terminal can redraw one."""

import time
from collections.abc import Callable

EVERY = 4.0  # seconds between two lines
GROWTH = 1 / 60  # of the time since the beginning: some 500 lines of a day's work, not 17,000


class Pace:
    """Lines `every` so many seconds; of long work ever more seldom, unless `steady`."""

    def __init__(
        self,
        every: float = EVERY,
        steady: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.every = every
        self._growth = 0.0 if steady else GROWTH
        self._clock = clock
        self._began = self._last = clock()

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return self._clock() - self._began

    def due(self) -> bool:
        """Whether so much time has passed since the last line that another is due."""
        wait = max(self.every, self.seconds * self._growth)
        return self._clock() - self._last >= wait

    def said(self) -> None:
        """A line was shown now, this one or another."""
        self._last = self._clock()
