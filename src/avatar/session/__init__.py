"""Live streams: sound in as it comes, frames out on its clock."""

from avatar.session._likeness import Likeness, scaled
from avatar.session._metrics import SessionMetrics
from avatar.session._pacing import Clock
from avatar.session._performance import Performance
from avatar.session._session import Session
from avatar.session._timeline import frame_count

__all__ = ["Clock", "Likeness", "Performance", "Session", "SessionMetrics", "frame_count", "scaled"]
