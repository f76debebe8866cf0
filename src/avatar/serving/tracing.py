"""OpenTelemetry spans of sessions, or nothing at all.

Where the spans go is said by whoever starts the program, in the way of OpenTelemetry: its SDK set
up in code, or ``opentelemetry-instrument avatar serve`` with ``OTEL_*`` variables. A session joins
the trace that its caller names in the metadata ``traceparent``. Spans hold names and counts, as the
log does, never what people said or look like.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from avatar.errors import DependencyError
from avatar.serving.config import ServerConfig


class Span(Protocol):
    """What is noted of one session."""

    def set_attribute(self, key: str, value: str | int | float | bool) -> None:
        """Note a name or a count."""

    def add_event(self, name: str) -> None:
        """Note that something happened, now."""


class Tracer:
    """Traces nothing."""

    @contextmanager
    def session(self, context: Any, session_id: str) -> Iterator[Span]:
        """The span of one session, while the block lasts; ``context`` is of its gRPC call."""
        yield _NO_SPAN


class _NoSpan:
    def set_attribute(self, key: str, value: str | int | float | bool) -> None: ...
    def add_event(self, name: str) -> None: ...


_NO_SPAN = _NoSpan()


class OpenTelemetryTracer(Tracer):
    """Traces with the OpenTelemetry that the program around it has set up.

    Raises:
        DependencyError: its API is not installed.
    """

    def __init__(self) -> None:
        try:
            trace: Any = importlib.import_module("opentelemetry.trace")
            propagate: Any = importlib.import_module("opentelemetry.propagate")
        except ImportError:
            raise DependencyError(
                "tracing needs another package: pip install opentelemetry-sdk"
            ) from None
        self._extract = propagate.extract
        self._kind = trace.SpanKind.SERVER
        self._tracer = trace.get_tracer("avatar.serving")

    @contextmanager
    def session(self, context: Any, session_id: str) -> Iterator[Span]:
        metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        with self._tracer.start_as_current_span(
            "session", context=self._extract(metadata), kind=self._kind,
            attributes={"avatar.session": session_id},
            # Its words may hold what people sent.
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            yield span


def make_tracer(config: ServerConfig) -> Tracer:
    """What ``config`` asks for."""
    return OpenTelemetryTracer() if config.tracing else Tracer()
