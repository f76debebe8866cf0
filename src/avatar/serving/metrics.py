"""Prometheus metrics, or nothing at all where prometheus-client is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

from avatar.errors import DependencyError
from avatar.serving.config import ServerConfig

_LATENCY = (0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.17, 0.2, 0.25, 0.3, 0.5, 1, 2)
_STAGE = (0.0005, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.02, 0.03, 0.04, 0.08, 0.2)


class Metrics(Protocol):
    """What the server counts; times in seconds."""

    def session(self, change: int, *, video: bool) -> None:
        """A session began (1) or ended (-1)."""

    def first_frame(self, seconds: float) -> None:
        """From the first sound of a session to its first frame on the wire."""

    def stage(self, name: str, seconds: float, frames: int = 1) -> None:
        """One stage of frames: ``feed``, ``draw``, ``encode`` or ``send``."""

    def frames(self, count: int, *, late: int = 0) -> None:
        """Frames sent, and how many of them were late."""

    def rejected(self, reason: str) -> None:
        """A call that ended with an error, by gRPC status."""

    def bytes_in(self, count: int) -> None:
        """Sound and images received."""

    def bytes_out(self, count: int) -> None:
        """Frames and files sent."""


class NoMetrics:
    """Counts nothing."""

    def session(self, change: int, *, video: bool) -> None: ...
    def first_frame(self, seconds: float) -> None: ...
    def stage(self, name: str, seconds: float, frames: int = 1) -> None: ...
    def frames(self, count: int, *, late: int = 0) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def bytes_in(self, count: int) -> None: ...
    def bytes_out(self, count: int) -> None: ...


class PrometheusMetrics:
    """Counts with prometheus-client, in a registry of its own.

    Raises:
        DependencyError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("prometheus_client") is None:
            raise DependencyError(
                "metrics need another package: pip install 'talking-avatar[server]'"
            )
        import prometheus_client as prometheus

        self.registry = prometheus.CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self._sessions = prometheus.Gauge("avatar_sessions", "Live sessions.", ["kind"], **own)
        self._first = prometheus.Histogram(
            "avatar_first_frame_seconds", "First sound to first frame.", buckets=_LATENCY, **own
        )
        self._stage = prometheus.Histogram(
            "avatar_frame_stage_seconds", "Time of a frame by stage.", ["stage"], buckets=_STAGE,
            **own,
        )  # fmt: skip
        self._frames = prometheus.Counter("avatar_frames", "Frames sent.", **own)
        self._late = prometheus.Counter("avatar_late_frames", "Frames sent late.", **own)
        self._rejected = prometheus.Counter(
            "avatar_rejected", "Calls that ended with an error.", ["status"], **own
        )
        self._in = prometheus.Counter("avatar_received_bytes", "Sound and images in.", **own)
        self._out = prometheus.Counter("avatar_sent_bytes", "Frames and files out.", **own)
        self._stages = {
            name: self._stage.labels(name) for name in ("feed", "draw", "encode", "send")
        }
        self._server: Any = None

    def serve(self, host: str, port: int) -> int:
        """Show the page on ``host:port`` from a thread; gives the port, chosen where it is 0."""
        import prometheus_client as prometheus

        server, thread = prometheus.start_http_server(port, addr=host, registry=self.registry)
        self._server = (server, thread)
        return int(server.server_port)

    def close(self) -> None:
        """Take the page down."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def session(self, change: int, *, video: bool) -> None:
        self._sessions.labels("video" if video else "motion").inc(change)

    def first_frame(self, seconds: float) -> None:
        self._first.observe(seconds)

    def stage(self, name: str, seconds: float, frames: int = 1) -> None:
        stage = self._stages[name]
        for _ in range(frames):
            stage.observe(seconds / frames)

    def frames(self, count: int, *, late: int = 0) -> None:
        self._frames.inc(count)
        self._late.inc(late)

    def rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def bytes_in(self, count: int) -> None:
        self._in.inc(count)

    def bytes_out(self, count: int) -> None:
        self._out.inc(count)


def make_metrics(config: ServerConfig, worker: int = 0) -> Metrics:
    """The metrics that ``config`` asks for, their page shown."""
    if config.metrics_port is None:
        return NoMetrics()
    metrics = PrometheusMetrics()
    port = config.metrics_port and config.metrics_port + worker
    metrics.serve(config.metrics_host, port)
    return metrics
