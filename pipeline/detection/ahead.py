"""Pictures made ready by threads, in advance of their turn.

Decoding a JPEG straight to the size of the model is most of what a picture costs the thread that
does all the rest, and needs none of it: libjpeg runs beside Python. What comes out, and in which
order it is used, does not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.core.arrival import Arrival, SampleArrived
from pipeline.core.sample import Encoding, Sample

FEWEST = 3
"""Fewer pictures at once are not worth waking a thread for."""


class Ahead:
    """Makes samples ready; see the module.

    Args:
        prepare: Makes one ready, in any thread.
        threads: How many.
    """

    def __init__(self, prepare: Callable[[Sample], Sample], threads: int) -> None:
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._begun: dict[int, tuple[Sample, Future[Sample]]] = {}

    def begin(self, arrivals: Iterable[Arrival]) -> None:
        """These are to be taken next: begin with their pictures."""
        pictures = [
            a.sample
            for a in arrivals
            if isinstance(a, SampleArrived) and a.sample.encoding is Encoding.JPEG
        ]
        self._begun.clear()  # of what was not asked for, as no scene uses it
        if len(pictures) >= FEWEST:
            self._begun = {
                id(one): (one, self._pool.submit(self._prepare, one)) for one in pictures
            }

    def prepare(self, sample: Sample) -> Sample:
        """A sample made ready, now or before.

        Raises:
            BadReading: It cannot be read.
        """
        begun = self._begun.pop(id(sample), None)
        return self._prepare(sample) if begun is None else begun[1].result()

    def close(self) -> None:
        """End the threads; what they have begun with is let go."""
        self._begun.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
