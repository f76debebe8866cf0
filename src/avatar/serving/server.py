"""One serving process: the gRPC server, its services, and its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from avatar.engine import Engine
from avatar.errors import DependencyError, OutputError
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving.auth import TokenFile, TokenInterceptor, server_credentials
from avatar.serving.calls import MessageInterceptor
from avatar.serving.config import ServerConfig
from avatar.serving.log import log
from avatar.serving.metrics import Metrics, PrometheusMetrics, make_metrics
from avatar.serving.service import AvatarService
from avatar.serving.stage import Stage, staging

try:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection
except ImportError as _missing:
    raise DependencyError(
        f"the server needs {_missing.name}: pip install 'talking-avatar[server]'"
    ) from None

SERVICE = pb.DESCRIPTOR.services_by_name["AvatarService"].full_name
_AFTERMATH_SECONDS = 1.0


@dataclass
class Server:
    """A server that runs; made by ``serving``.

    Attributes:
        port: where it listens.
        stage: its sessions.
    """

    port: int
    stage: Stage
    _server: Any
    _health: Any
    _config: ServerConfig

    async def drain(self) -> None:
        """End in good order: no new sessions, the running ones told and given time to finish."""
        admission = self.stage.admission
        if admission.draining:
            return
        log("draining", sessions=admission.active)
        admission.drain()
        await self._health.enter_graceful_shutdown()
        self.stage.tell_draining()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_seconds):
                while admission.active:
                    await asyncio.sleep(0.05)
        await self._server.stop(_AFTERMATH_SECONDS)

    async def wait(self) -> None:
        """Until it was drained."""
        await self._server.wait_for_termination()


@asynccontextmanager
async def serving(
    config: ServerConfig, *, engine: Engine | None = None, worker: int = 0
) -> AsyncIterator[Server]:
    """Serve inside the block.

    Raises:
        ConfigError: a file named in ``config`` cannot be used.
        OutputError: the port is taken, or may not be used.
        DependencyError: a package of the ``server`` extra is missing.
    """
    metrics = make_metrics(config, worker)
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(metrics, PrometheusMetrics):
            stack.callback(metrics.close)
        stage = await stack.enter_async_context(staging(config, metrics, engine=engine))
        server, prober = await _build(config, stage, metrics)
        port = _bind(server, config)
        await server.start()
        log("serving", address=f"{config.host}:{port}", worker=worker)
        try:
            yield Server(port, stage, server, prober, config)
        finally:
            await server.stop(None)


async def run(config: ServerConfig, *, worker: int = 0) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once."""
    async with serving(config, worker=worker) as server:
        # What is loaded now stays: looking at it again for garbage would hold up every session.
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        draining: list[asyncio.Task[None]] = []

        def stop() -> None:
            if draining:
                raise SystemExit(1)
            draining.append(loop.create_task(server.drain()))

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        await server.wait()
        log("ended", worker=worker)


async def _build(config: ServerConfig, stage: Stage, metrics: Metrics) -> tuple[Any, Any]:
    """The server with its services, and the health service among them."""
    server = grpc.aio.server(
        interceptors=_interceptors(config, lambda: metrics.rejected("UNAUTHENTICATED")),
        options=[
            ("grpc.max_receive_message_length", config.max_message_bytes),
            # With it, a reader that stalls would let a session run seconds ahead.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.so_reuseport", int(config.workers > 1)),
            # A peer that is gone without a word is noticed, one that pings madly is sent away.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_idle_ms", 600_000),
        ],
    )
    add = avatar_pb2_grpc.add_AvatarServiceServicer_to_server
    add(AvatarService(stage), server)  # type: ignore[no-untyped-call]
    names = [SERVICE]
    if config.audio2face:
        from avatar.serving.a2f import add_audio2face

        names.append(add_audio2face(server, stage))
    prober = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(prober, server)
    for name in ("", *names):
        await prober.set(name, health_pb2.HealthCheckResponse.SERVING)
    if config.reflection:
        names += [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
    return server, prober


def _interceptors(config: ServerConfig, refused: Callable[[], None]) -> list[Any]:
    if config.token_file is None:
        return [MessageInterceptor()]
    return [TokenInterceptor(TokenFile(config.token_file), refused), MessageInterceptor()]


def _bind(server: Any, config: ServerConfig) -> int:
    """Take the port; gives its number."""
    credentials = server_credentials(config)
    try:
        if credentials is None:
            port = server.add_insecure_port(config.address)
        else:
            port = server.add_secure_port(config.address, credentials)
    except RuntimeError as reason:
        raise OutputError(f"cannot listen on {config.address}: {reason}") from None
    if not port:
        raise OutputError(f"cannot listen on {config.address}: is the port taken?")
    return int(port)
