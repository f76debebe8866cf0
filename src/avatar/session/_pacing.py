"""When a frame of a realtime session is due, and how well it is drawn where time is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds that only go forward, like ``time.monotonic``."""


class OutputClock:
    """Ties the samples of a session to the clock: sample ``n`` is heard at ``start + n / rate``.

    With idle frames the tie is made once, and never moves. Without, nothing is heard where nothing
    is said, so it moves on wherever a frame became known only after its time.
    """

    def __init__(self, *, sample_rate: int, ahead_seconds: float, moves: bool) -> None:
        self._rate = sample_rate
        self._ahead = ahead_seconds
        self._moves = moves
        self._start: float | None = None

    def begin(self, now: float) -> None:
        """Time runs from the first call on."""
        if self._start is None and not self._moves:
            self._start = now

    def time_of(self, position: int) -> float:
        """When the sample at ``position`` is heard."""
        assert self._start is not None
        return self._start + position / self._rate

    def due(self, position: int, known_seconds: float) -> float:
        """When a frame of speech may leave that begins at ``position``."""
        heard = position / self._rate
        if self._moves and (self._start is None or known_seconds > self._start + heard):
            self._start = known_seconds - heard
        return max(self.time_of(position) - self._ahead, known_seconds)


@dataclass(frozen=True)
class Effort:
    """How a picture is drawn.

    Attributes:
        quality: what ``Frame.quality`` says.
        scale: of the size at which it is drawn; it is enlarged to the size asked for.
        every: one frame of so many is drawn, the others repeat it.
    """

    quality: float
    scale: float = 1.0
    every: int = 1


FULL = Effort(1.0)
REPEATED = 0.5
"""The most that ``Frame.quality`` says of a repeated picture."""

_SMALL = 320
"""Pictures of at most so many pixels a side are not drawn smaller: it would save too little."""

_GIVE_IN_AFTER = 3
_SETTLE_SECONDS = 0.5
_FIRST_PATIENCE, _LONGEST_PATIENCE = 4.0, 64.0


class EffortLadder:
    """Less effort where frames come late, more again after a while in which none did.

    A frame that leaves more than a frame's time too late repeats the last picture, which costs
    nothing and so catches up at once. Several such frames lead one step down. After
    ``patience`` seconds without one it goes one step up; where that proves too early, the next try
    waits twice as long.
    """

    def __init__(self, *, fps: float, longer_side: int) -> None:
        half = Effort(0.75, scale=0.5) if longer_side > _SMALL else None
        scale = 1.0 if half is None else half.scale
        steps = (FULL, half, Effort(0.5, scale, every=2), Effort(0.25, scale, every=4))
        self._steps = [step for step in steps if step is not None]
        self._period = 1.0 / fps
        self._step = 0
        self._late = 0
        self._frames = 0
        self._changed = self._quiet_since = -float("inf")
        self._patience = _FIRST_PATIENCE
        self._tried = False  # the last step was one up, not yet proven

    @property
    def effort(self) -> Effort:
        return self._steps[self._step]

    def judge(self, lag_seconds: float, now: float) -> tuple[float, Effort | None]:
        """The quality of a frame that leaves ``lag_seconds`` too late, and the effort to draw it.

        None stands for repeating the last picture.
        """
        if self._changed == -float("inf"):
            self._changed = self._quiet_since = now
        late = lag_seconds > self._period
        if late:
            self._fall(now)
        elif now - self._quiet_since > self._patience:
            self._rise(now)
        effort = self.effort
        self._frames += 1
        if late or self._frames % effort.every:
            return min(effort.quality, REPEATED), None
        return effort.quality, effort

    def _fall(self, now: float) -> None:
        self._quiet_since = now
        self._late += 1
        settled = now - self._changed > _SETTLE_SECONDS
        if self._late >= _GIVE_IN_AFTER and settled and self._step + 1 < len(self._steps):
            if self._tried:
                self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
            self._step += 1
            self._late, self._changed, self._tried = 0, now, False

    def _rise(self, now: float) -> None:
        self._late = 0
        self._quiet_since = now
        if self._step:
            self._step -= 1
            self._changed, self._tried = now, True
        else:
            self._patience, self._tried = _FIRST_PATIENCE, False
