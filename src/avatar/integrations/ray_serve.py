"""Avatars on a Ray cluster: replicas of the server's calls behind Ray Serve's gRPC proxies.

::

    RAY_USAGE_STATS_ENABLED=0 python -m avatar.integrations.ray_serve --config serve.toml

Each replica is a stage of its own: models, scheduler, sessions. Ray keeps as many replicas as the
sessions need, and its proxy picks one for each call; clients use the same messages and addresses as
with ``avatar serve``, and name the application ``avatar`` in the metadata.

What the proxy does in the server's place: TLS, health and reflection are Ray's; tokens are not
checked; a RetryInfo is not passed on; the port is open on every address of the machine, so keep it
behind a firewall. Where none of Ray's own gifts are needed, plain replicas behind a balancer answer
sooner (docs/serving.md).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

import grpc

from avatar.errors import ConfigError, DependencyError
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.config import ServerConfig, load_config
from avatar.serving.metrics import NoMetrics
from avatar.serving.service import AvatarService
from avatar.serving.stage import staging

# Nothing phones home; said before Ray is loaded, which reads it then.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    from ray import serve
except ImportError:
    raise DependencyError("Ray Serve is missing: pip install 'talking-avatar[ray]'") from None

APPLICATION = "avatar"
"""To be named by callers in the metadata ``application`` where the cluster serves others too."""
SERVICERS = ["avatar.integrations.ray_messages.add_service"]
"""For ``gRPCOptions`` of the cluster."""


class _RefusedError(grpc.aio.AbortError):  # type: ignore[misc]
    """A call was ended with a status; Ray reads it from its own context."""


class _Context:
    """A call of Ray Serve in the shape of a call of grpc.aio.

    Args:
        requests: what the client sends; None where all of it came at once.
        ray_context: takes the status.
    """

    def __init__(self, requests: Any, ray_context: Any) -> None:
        self._requests = requests
        self._ray = ray_context
        # A frame is taken before the next is put: the client's flow control is felt here.
        self._answers: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)

    def invocation_metadata(self) -> Any:
        return self._ray.invocation_metadata()

    async def read(self) -> Any:
        try:
            return await anext(self._requests)
        except StopAsyncIteration:
            if self._requests.is_cancelled():
                raise asyncio.CancelledError from None
            return grpc.aio.EOF

    async def write(self, message: Any) -> None:
        await self._answers.put(message)

    async def abort(self, code: Any, details: str, metadata: Any) -> None:
        self._ray.set_code(code)
        self._ray.set_details(details)
        raise _RefusedError(details)

    async def answers(self, call: Any) -> AsyncGenerator[Any]:
        """Run ``call`` and give what it writes."""
        task = asyncio.ensure_future(call)
        try:
            while True:
                answer = asyncio.ensure_future(self._answers.get())
                await asyncio.wait((task, answer), return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
                    break
                yield answer.result()
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, _RefusedError):
                await task


class AvatarReplica:
    """The calls of ``avatar.v1.AvatarService`` as a deployment of Ray Serve.

    Args:
        config: limits, as ``avatar serve`` takes them.
    """

    async def __init__(self, config: ServerConfig) -> None:  # type: ignore[misc]
        self._stack = contextlib.AsyncExitStack()
        self._stage = await self._stack.enter_async_context(staging(config, NoMetrics()))
        self._service = AvatarService(self._stage)

    async def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, grpc_context: Any
    ) -> pb.GetServerInfoResponse:
        """Of the replica that was asked; its numbers are not those of the cluster."""
        return await self._service.GetServerInfo(request, _Context(None, grpc_context))

    async def ListAvatars(  # noqa: N802
        self, request: pb.ListAvatarsRequest, grpc_context: Any
    ) -> pb.ListAvatarsResponse:
        """A page of the avatars in the folder that all replicas share."""
        return await self._service.ListAvatars(request, _Context(None, grpc_context))

    async def DeleteAvatar(  # noqa: N802
        self, request: pb.DeleteAvatarRequest, grpc_context: Any
    ) -> pb.DeleteAvatarResponse:
        """Forget an avatar."""
        return await self._service.DeleteAvatar(request, _Context(None, grpc_context))

    async def CreateAvatar(  # noqa: N802
        self, requests: Any, grpc_context: Any
    ) -> pb.CreateAvatarResponse:
        """Make an avatar of an image."""
        return await self._service.CreateAvatar(requests, _Context(requests, grpc_context))

    async def StreamSpeak(  # noqa: N802
        self, requests: Any, grpc_context: Any
    ) -> AsyncIterator[pb.StreamSpeakResponse]:
        """Live: sound in, frames out."""
        context = _Context(requests, grpc_context)
        async with contextlib.aclosing(
            context.answers(self._service.StreamSpeak(requests, context))
        ) as answers:
            async for answer in answers:
                yield answer

    async def RenderClip(  # noqa: N802
        self, requests: Any, grpc_context: Any
    ) -> AsyncIterator[pb.RenderClipResponse]:
        """Offline: a sound file in, a video file out."""
        context = _Context(requests, grpc_context)
        async with contextlib.aclosing(
            context.answers(self._service.RenderClip(requests, context))
        ) as answers:
            async for answer in answers:
                yield answer

    async def check_health(self) -> None:
        """Called by Ray; a replica whose scheduler has died is replaced."""
        if not self._stage.scheduler.alive:
            raise RuntimeError("the scheduler of this replica has ended")

    async def __del__(self) -> None:
        await self._stack.aclose()


def application(config: ServerConfig, *, replicas: int | None = None) -> Any:
    """The application for ``ray.serve.run``.

    Args:
        config: of each replica; ``avatars`` names a folder that all machines see.
        replicas: how many; None lets Ray add and remove them with the sessions.

    Raises:
        ConfigError: no folder of avatars, which replicas cannot do without.
    """
    if config.avatars is None:
        raise ConfigError("replicas share their avatars: give the folder in the setting avatars")
    scaling = {
        "min_replicas": 1,
        "max_replicas": 1000,
        "target_ongoing_requests": 0.7 * config.max_sessions,
    }
    options: dict[str, Any] = (
        {"num_replicas": replicas} if replicas else {"autoscaling_config": scaling}
    )
    deployment = serve.deployment(
        name="AvatarReplica",
        max_ongoing_requests=config.max_sessions + 8,  # beyond sessions, short calls must pass
        graceful_shutdown_timeout_s=config.drain_seconds,
        **options,
    )(AvatarReplica)
    return deployment.bind(replace(config, workers=1))


def main() -> None:
    """Serve on the local cluster until interrupted."""
    parser = argparse.ArgumentParser(description="Avatars on a Ray cluster.")
    parser.add_argument("--config", help="a TOML file of settings, as for avatar serve")
    parser.add_argument("--replicas", type=int, help="how many; with the sessions where not given")
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    serve.start(grpc_options={"port": config.port, "grpc_servicer_functions": SERVICERS})
    serve.run(application(config, replicas=chosen.replicas), name=APPLICATION)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    serve.shutdown()


if __name__ == "__main__":
    main()
