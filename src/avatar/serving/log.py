"""One JSON object a line on stderr. What people said or look like never gets here."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

logger = logging.getLogger("avatar.serving")
"""Of the server; quiet until ``start_logging`` or the program around it says otherwise."""

_FIELDS = frozenset(
    ("session", "avatar", "call", "code", "error", "frames", "seconds", "sessions", "address",
     "worker", "utterances", "outputs", "setting", "late_frames", "first_frame_ms")
)  # fmt: skip
"""Everything that may be logged with an event: names and counts, no sound, image or text."""


def log(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log ``event`` with fields that are among those allowed.

    Raises:
        ValueError: another field; this is a fault of the program.
    """
    if not fields.keys() <= _FIELDS:
        raise ValueError(f"not to be logged: {sorted(fields.keys() - _FIELDS)}")
    logger.log(level, event, extra={"fields": fields})


def log_fault(event: str, *, session: str | None = None) -> None:
    """Log an error of this program with its traceback, inside an ``except`` block."""
    logger.error(
        event, exc_info=True, extra={"fields": {} if not session else {"session": session}}
    )


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_logging(level: str) -> None:
    """Write the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
