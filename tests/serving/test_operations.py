"""Running a server: admission, health, draining, metrics, logs, workers."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from tests.serving.conftest import RATE, Running, Serve, Speaking

from avatar.serving import RemoteAvatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving.errors import BusyError
from avatar.serving.log import JsonFormatter, log, logger
from avatar.serving.server import SERVICE
from avatar.serving.stream import LiveStream

INFO = pb.GetServerInfoRequest()


# ── admission ────────────────────────────────────────────────────────────────────────────────────


def test_one_session_too_many_is_told_when_to_come_again(serve: Serve) -> None:
    with serve(max_sessions=1) as running, running.stub() as stub:
        with Speaking(stub, pacing=pb.PACING_BURST) as first:
            with Speaking(stub) as second:
                second.send(config=pb.SessionConfig())
                assert second.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert dict(second.call.trailing_metadata())["avatar-error"] == "BusyError"
                details = rpc_status.from_call(second.call).details[0]
                retry = error_details_pb2.RetryInfo()
                assert details.Unpack(retry)
                assert retry.retry_delay.ToNanoseconds() > 0
            assert stub.GetServerInfo(INFO).active_sessions == 1
            _is_healthy(running)
            impatient = RemoteAvatar(running.address, timeout_seconds=0.1)
            with pytest.raises(BusyError):
                impatient.session(pixels=False)
            first.done()
            assert first.code() == grpc.StatusCode.OK
        # A client with patience gets the place.
        with RemoteAvatar(running.address).session(pixels=False):
            assert stub.GetServerInfo(INFO).active_sessions == 1


def test_sessions_with_pictures_have_their_own_limit(serve: Serve) -> None:
    video = {"avatar_id": "eileen", "outputs": [pb.OUTPUT_KIND_VIDEO], "video": {"size": 64}}
    with (
        serve(max_video_sessions=1) as running,
        running.stub() as stub,
        Speaking(stub, **video),
        Speaking(stub) as second,
        Speaking(stub, fps=25),
    ):
        second.send(config=pb.SessionConfig(**video))
        assert second.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def _is_healthy(running: Running, service: str = "") -> None:
    with running.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


# ── health, reflection, draining ─────────────────────────────────────────────────────────────────


def test_health_is_told_of_each_service(server: Running) -> None:
    for name in ("", SERVICE, "nvidia_ace.services.a2f_controller.v1.A2FControllerService"):
        _is_healthy(server, name)


def test_tools_can_ask_for_the_services(server: Running) -> None:
    with server.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = stub.ServerReflectionInfo(asked)
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


def test_draining_lets_sessions_finish_and_takes_no_new_ones(serve: Serve, voice: Any) -> None:
    with serve() as running, running.stub() as stub:
        with running.channel() as channel:
            states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(states).status == health_pb2.HealthCheckResponse.SERVING
            with Speaking(stub, pacing=pb.PACING_BURST) as speaking, Speaking(stub) as late:
                draining = threading.Thread(target=lambda: running.run(running.server.drain()))
                draining.start()
                assert next(states).status == health_pb2.HealthCheckResponse.NOT_SERVING
                event = speaking.read()
                assert event.type == pb.Event.TYPE_DRAINING
                late.send(config=pb.SessionConfig())
                assert late.code() == grpc.StatusCode.UNAVAILABLE
                speaking.say(voice)
                speaking.done()
                assert len(speaking.frames()) == 30
                assert speaking.code() == grpc.StatusCode.OK
                draining.join(30)
        assert not draining.is_alive()


# ── metrics and logs ─────────────────────────────────────────────────────────────────────────────


def test_metrics_count_what_happens(serve: Serve, voice: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(metrics_port=port) as running, running.stub() as stub:
        with Speaking(stub, pacing=pb.PACING_BURST) as speaking:
            page = _metrics(port)
            assert page['avatar_sessions{kind="motion"}'] == 1
            speaking.say(voice)
            speaking.done()
            assert len(speaking.frames()) == 30
        with Speaking(stub) as wrong:
            wrong.send(end_utterance=pb.EndUtterance())
            assert wrong.code() == grpc.StatusCode.FAILED_PRECONDITION
        page = _metrics(port)
    assert page['avatar_sessions{kind="motion"}'] == 0
    assert page["avatar_frames_total"] == 30
    assert page["avatar_first_frame_seconds_count"] == 1
    assert page["avatar_received_bytes_total"] == 2 * len(voice)
    assert page["avatar_sent_bytes_total"] > 30 * 200
    assert page['avatar_rejected_total{status="FAILED_PRECONDITION"}'] == 1
    for stage in ("feed", "draw", "send"):
        assert page[f'avatar_frame_stage_seconds_count{{stage="{stage}"}}'] == 30


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_the_log_is_json_and_holds_nothing_that_was_said(
    server: Running, stub: Any, voice: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger.name):
        with Speaking(stub, pacing=pb.PACING_BURST) as speaking:
            session = speaking.started.session_id
            speaking.say(voice, "my secret utterance")
            speaking.done()
            speaking.frames()
        _wait_until(lambda: "session ended" in caplog.text)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    ended = next(line for line in lines if line["event"] == "session ended")
    assert (ended["session"], ended["code"], ended["frames"]) == (session, "OK", 30)
    assert "secret" not in json.dumps(lines)


def test_a_field_that_may_not_be_logged_is_a_fault() -> None:
    with pytest.raises(ValueError, match="words"):
        log("session began", words="what was said")


def _wait_until(true: Any, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


# ── nothing is left behind ───────────────────────────────────────────────────────────────────────


def test_sessions_that_are_dropped_leave_nothing(server: Running, voice: Any) -> None:
    def drop(count: int) -> None:
        with server.stub() as stub:
            for k in range(count):
                speaking = Speaking(stub, idle_frames=bool(k % 2))
                if k % 3:
                    speaking.say(voice[: RATE // 4])
                if k % 4 == 1:
                    speaking.read()
                speaking.call.cancel()
                speaking.done()
        _wait_until(lambda: server.server.stage.admission.active == 0)

    drop(20)
    before = _counts(server)
    drop(100)
    _wait_until(lambda: _counts(server)[0] <= before[0])
    _wait_until(lambda: _counts(server) <= before)


def _counts(server: Running) -> tuple[int, int, int]:
    """Live streams, tasks of the event loop, threads."""
    import asyncio

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    gc.collect()
    live = sum(isinstance(thing, LiveStream) for thing in _objects())
    return live, server.run(tasks()), threading.active_count()


def _objects() -> Iterator[Any]:
    for thing in gc.get_objects():
        if type(thing) is LiveStream:
            yield thing


# ── processes ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """``avatar serve`` as a process, and its log as it grows."""
    command = [sys.executable, "-m", "avatar", "serve", *arguments]
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:

        def follow() -> None:
            assert started.stderr is not None
            for line in started.stderr:
                if line.startswith("{"):
                    lines.append(json.loads(line))

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield started, lines
        finally:
            started.terminate()
            try:
                started.wait(60)
            finally:
                started.kill()
                thread.join(10)


def _serving(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "serving"]


def test_a_terminated_server_drains_and_ends_well(avatars: Path, voice: Any) -> None:
    with process("--port", "0", "--avatars", str(avatars)) as (server, lines):
        _wait_until(lambda: _serving(lines), 120)
        address = _serving(lines)[0]["address"]
        assert address.startswith("127.0.0.1:")
        with grpc.insecure_channel(address) as channel:
            stub = avatar_pb2_grpc.AvatarServiceStub(channel)
            with Speaking(stub, pacing=pb.PACING_BURST) as speaking:
                server.send_signal(signal.SIGTERM)
                assert speaking.read().type == pb.Event.TYPE_DRAINING
                speaking.say(voice)
                speaking.done()
                assert len(speaking.frames()) == 30
        assert server.wait(60) == 0
    assert [line["event"] for line in lines][-1] == "ended"


def test_a_killed_worker_takes_only_its_own_sessions_along(avatars: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ("--port", str(port), "--workers", "2", "--avatars", str(avatars))
    with process(*arguments) as (server, lines):
        _wait_until(lambda: len(_serving(lines)) == 2, 180)
        workers = _children(server.pid)
        calls = [_pinned(port) for _ in range(12)]
        owners = [_owner(port, call[2], workers) for call in calls]
        assert set(owners) <= set(workers)
        if len(set(owners)) < 2:
            pytest.skip("the kernel gave every connection to one worker")
        victim = owners[0]
        os.kill(victim, signal.SIGKILL)
        for owner, (_, speaking, _) in zip(owners, calls, strict=True):
            if owner == victim:
                assert speaking.code() == grpc.StatusCode.UNAVAILABLE
            else:
                speaking.send(sync=pb.Sync(token=5))
                while not isinstance(part := speaking.read(), pb.Synced):
                    pass
                assert part.token == 5
        _wait_until(lambda: len(_serving(lines)) == 3, 120)
        for channel, speaking, _ in calls:
            speaking.call.cancel()
            speaking.done()
            channel.close()
        assert any(line["event"] == "worker died" for line in lines)


def _pinned(port: int) -> tuple[Any, Speaking, int]:
    """A session on a connection of its own, with the local port of that connection."""
    known = _local_ports(port)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    speaking = Speaking(avatar_pb2_grpc.AvatarServiceStub(channel), pacing=pb.PACING_BURST)
    (new,) = _local_ports(port) - known
    return channel, speaking, new


def _local_ports(port: int) -> set[int]:
    """Our ends of the connections to ``port``, by the kernel's table."""
    return {local for local, remote, _, state in _connections() if remote == port and state == "01"}


def _owner(port: int, client: int, workers: list[int]) -> int:
    """Which worker holds the connection from local port ``client``."""
    inode = next(
        inode for local, remote, inode, _ in _connections() if (local, remote) == (port, client)
    )
    for pid in workers:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if str(descriptor.readlink()) == f"socket:[{inode}]":
                return pid
    raise AssertionError("no worker has that connection")


def _connections() -> Iterator[tuple[int, int, str, str]]:
    """Local port, remote port, inode and state of each connection."""
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            local, remote = (int(words[k].rsplit(":", 1)[1], 16) for k in (1, 2))
            yield local, remote, words[9], words[3]


def _children(pid: int) -> list[int]:
    """Worker processes of ``pid``: those that were spawned to serve."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rsplit(")", 1)[1].split()
            line = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(words[1]) == pid and re.search(rb"spawn_main", line):
            found.append(int(path.parent.name))
    return found
