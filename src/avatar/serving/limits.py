"""Admission: how many sessions may be live, decided in code so that health checks always pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from avatar.serving.errors import BusyError, UnreachableError

_RETRY_SECONDS = 2.0


class Admission:
    """Counts live sessions and refuses one too many. Any thread may ask.

    Args:
        sessions: live sessions at once.
        video_sessions: ... of which with pictures.
    """

    def __init__(self, *, sessions: int, video_sessions: int) -> None:
        self.limit = sessions
        self._video_limit = video_sessions
        self._lock = threading.Lock()
        self._active = self._video = 0
        self._draining = False

    @property
    def active(self) -> int:
        """Live sessions now."""
        return self._active

    @property
    def draining(self) -> bool:
        """Whether new sessions are refused because the server ends."""
        return self._draining

    def drain(self) -> None:
        """Refuse all new sessions from now on."""
        self._draining = True

    def check_open(self) -> None:
        """Refuse where the server ends.

        Raises:
            UnreachableError: it does.
        """
        if self._draining:
            raise UnreachableError("this server ends; connect again, to another if there is one")

    @contextmanager
    def session(self, *, video: bool) -> Iterator[None]:
        """Hold the place of one session.

        Raises:
            BusyError: there is none.
            UnreachableError: the server ends.
        """
        with self._lock:
            self.check_open()
            if self._active >= self.limit:
                raise _busy(f"all {self.limit} sessions of this server are taken")
            if video and self._video >= self._video_limit:
                raise _busy(f"all {self._video_limit} sessions with pictures are taken")
            self._active += 1
            self._video += video
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                self._video -= video


def _busy(message: str) -> BusyError:
    return BusyError(f"{message}; ask again in {_RETRY_SECONDS:g} s", retry_seconds=_RETRY_SECONDS)
