"""The thread that draws on a device, so that whoever asks for pictures need not wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from avatar.generator.batched.batches import Batch, Wanted
from avatar.generator.portrait import Portrait
from avatar.types import FloatArray, ImageArray


@dataclass(frozen=True, eq=False)
class _Job:
    """A picture that was asked for."""

    portrait: Portrait
    points: FloatArray
    picture: Future[ImageArray] = field(default_factory=Future)


_Begun = list[tuple[Batch, list[_Job]]]


class DrawingThread:
    """Draws in the order of asking, and in one go what was asked for while it was busy.

    One lot is drawn by the device while the lot before it is handed over.

    Args:
        begin: begins to draw, as ``Batches.begin`` does.
    """

    def __init__(self, begin: Callable[[Wanted], Sequence[Batch]]) -> None:
        self._begin = begin
        self._thread = ThreadPoolExecutor(1, "avatar-draw")
        self._lock = threading.Lock()
        self._asked: list[_Job] = []
        self._under_way: deque[_Begun] = deque()

    def submit(self, wanted: Wanted) -> list[Future[ImageArray]]:
        """Ask for pictures. A picture that cannot be drawn is an error of its own future."""
        jobs = [_Job(portrait, points) for portrait, points in wanted]
        with self._lock:
            self._asked += jobs
        self._thread.submit(self._turn)
        return [job.picture for job in jobs]

    def _turn(self) -> None:
        """There is one turn after each asking; it may find that an earlier one took everything."""
        with self._lock:
            jobs, self._asked = self._asked, []
        if jobs:
            self._under_way.append(self._started(jobs))
        while self._under_way and (len(self._under_way) > 1 or not self._asked):
            for batch, own in self._under_way.popleft():
                _hand_over(batch, own)

    def _started(self, jobs: list[_Job]) -> _Begun:
        try:
            batches = self._begin([(job.portrait, job.points) for job in jobs])
        except Exception as reason:
            if len(jobs) > 1:
                # One of them is at fault; the others must not suffer.
                return [begun for job in jobs for begun in self._started([job])]
            jobs[0].picture.set_exception(reason)
            return []
        return [(batch, [jobs[number] for number in batch.numbers]) for batch in batches]


def _hand_over(batch: Batch, jobs: list[_Job]) -> None:
    try:
        pictures = batch.pictures()
    except Exception as reason:
        for job in jobs:
            job.picture.set_exception(reason)
        return
    for job, picture in zip(jobs, pictures, strict=True):
        job.picture.set_result(picture)
