"""What a client can do wrong: the right status for it, and no harm to anyone else."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.conftest import RATE, Running, Serve, Speaking

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb

SOUND = {"audio": pb.AudioChunk(data=bytes(640))}
CONFIG = {"config": pb.SessionConfig(pacing=pb.PACING_BURST)}
VIDEO = [pb.OUTPUT_KIND_VIDEO]


@pytest.fixture(autouse=True)
def bystander(server: Running, voice: Any) -> Iterator[None]:
    """Somebody else's session, before and after: it must never notice."""
    with server.stub() as stub, Speaking(stub, pacing=pb.PACING_BURST) as speaking:
        speaking.say(voice[: RATE // 2], "first")
        yield
        speaking.say(voice[RATE // 2 :], "second")
        speaking.done()
        frames = speaking.frames()
        assert speaking.call.code() == grpc.StatusCode.OK
        assert len(frames) == 30
        assert {frame.utterance_id for frame in frames} == {"first", "second"}


def config(**fields: Any) -> dict[str, Any]:
    return {"config": pb.SessionConfig(**({"pacing": pb.PACING_BURST} | fields))}


def audio(encoding: int, rate: int = 0) -> pb.AudioFormat:
    return pb.AudioFormat(encoding=encoding, sample_rate_hz=rate)


NAN = np.array([np.nan], "<f4").tobytes()
WRONG = {
    "sound before config": ([SOUND], "FAILED_PRECONDITION"),
    "nothing at all": ([], "FAILED_PRECONDITION"),
    "an empty request first": ([{}], "FAILED_PRECONDITION"),
    "an empty request later": ([CONFIG, {}], "INVALID_ARGUMENT"),
    "two configs": ([CONFIG, CONFIG], "FAILED_PRECONDITION"),
    "unknown avatar": ([config(avatar_id="nobody")], "NOT_FOUND"),
    "no avatar for pictures": ([config(outputs=VIDEO)], "INVALID_ARGUMENT"),
    "a path as avatar": ([config(avatar_id="../eileen")], "INVALID_ARGUMENT"),
    "a file name as avatar": ([config(avatar_id="eileen.avatar/")], "INVALID_ARGUMENT"),
    "a file as background": (
        [config(avatar_id="eileen", outputs=VIDEO, video=pb.VideoFormat(background="/etc/passwd"))],
        "INVALID_ARGUMENT",
    ),
    "transparent JPEG": (
        [config(avatar_id="eileen", outputs=VIDEO, video=pb.VideoFormat(background="alpha"))],
        "INVALID_ARGUMENT",
    ),
    "a background without pictures": (
        [config(video=pb.VideoFormat(background="blur"))], "INVALID_ARGUMENT",
    ),
    "odd bytes": ([CONFIG, {"audio": pb.AudioChunk(data=b"abc")}], "INVALID_ARGUMENT"),
    "no float sound": (
        [config(audio=audio(2)), {"audio": pb.AudioChunk(data=NAN)}], "INVALID_ARGUMENT",
    ),
    "integers as floats": (
        [config(audio=audio(2)), {"audio": pb.AudioChunk(data=b"\xff\x7f\x01\x50" * 99)}],
        "INVALID_ARGUMENT",
    ),
    "no Opus": (
        [config(audio=audio(3)), {"audio": pb.AudioChunk(data=b"\xff" * 20)}], "INVALID_ARGUMENT",
    ),
    "empty Opus": ([config(audio=audio(3)), {"audio": pb.AudioChunk()}], "INVALID_ARGUMENT"),
    "Opus at 44.1 kHz": ([config(audio=audio(3, 44_100))], "INVALID_ARGUMENT"),
    "unknown encoding": ([config(audio=audio(99))], "INVALID_ARGUMENT"),
    "too low a rate": ([config(audio=audio(1, 100))], "INVALID_ARGUMENT"),
    "too high a rate": ([config(audio=audio(1, 1 << 31))], "INVALID_ARGUMENT"),
    "no such frame rate": ([config(fps=1e9)], "INVALID_ARGUMENT"),
    "a frame rate that is no number": ([config(fps=float("nan"))], "INVALID_ARGUMENT"),
    "unknown output": ([config(outputs=[77])], "INVALID_ARGUMENT"),
    "unknown pacing": ([config(pacing=9)], "INVALID_ARGUMENT"),
    "idle frames in a burst": ([config(idle_frames=True)], "INVALID_ARGUMENT"),
    "too large a seed": ([config(seed=1 << 63)], "INVALID_ARGUMENT"),
    "huge pictures": (
        [config(avatar_id="eileen", outputs=VIDEO, video={"size": 100_000})], "INVALID_ARGUMENT",
    ),
    "unknown codec": (
        [config(avatar_id="eileen", outputs=VIDEO, video={"codec": 50, "size": 64})],
        "INVALID_ARGUMENT",
    ),
    "impossible quality": (
        [config(avatar_id="eileen", outputs=VIDEO, video={"quality": 101, "size": 64})],
        "INVALID_ARGUMENT",
    ),
    "unknown emotion": ([config(style={"emotion": {"hunger": 1.0}})], "INVALID_ARGUMENT"),
    "impossible style later": (
        [CONFIG, {"style": pb.StyleUpdate(style=pb.Style(intensity=99))}], "INVALID_ARGUMENT",
    ),
    "a style that is no number": (
        [config(style={"blendshape_gain": {"jawOpen": float("nan")}})], "INVALID_ARGUMENT",
    ),
    "too far ahead": ([config(ahead=Duration(seconds=1 << 37))], "INVALID_ARGUMENT"),
    "a negative pause": (
        [CONFIG, {"pause": pb.Pause(duration=Duration(seconds=-1))}], "INVALID_ARGUMENT",
    ),
    "too long an utterance id": (
        [CONFIG, {"audio": pb.AudioChunk(data=bytes(2), utterance_id="x" * 129)}],
        "INVALID_ARGUMENT",
    ),
    "too long a chunk": (
        [CONFIG, {"audio": pb.AudioChunk(data=bytes(2 * 11 * RATE))}], "INVALID_ARGUMENT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_session_gets_its_status(stub: Any, name: str) -> None:
    requests, code = WRONG[name]
    with Speaking(stub) as speaking:
        speaking.started = None
        for request in requests:
            speaking.send(**request)
        if not requests:
            speaking.done()
        assert speaking.code().name == code
        assert speaking.call.details()
        assert "Traceback" not in speaking.call.details()


def test_a_message_of_a_hundred_megabytes(stub: Any) -> None:
    with Speaking(stub, pacing=pb.PACING_BURST) as speaking:
        speaking.send(audio=pb.AudioChunk(data=bytes(100 << 20)))
        assert speaking.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


# ── images ───────────────────────────────────────────────────────────────────────────────────────


def create(stub: Any, *parts: Any) -> str:
    try:
        stub.CreateAvatar(iter(pb.CreateAvatarRequest(**part) for part in parts), timeout=60)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def header(**fields: Any) -> dict[str, Any]:
    return {"header": pb.CreateAvatarRequest.Header(**fields)}


GARBAGE = {
    "noise": np.random.default_rng(0).bytes(5_000),
    "half a PNG": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "text": b"hello",
    "a small bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_image_that_is_none(stub: Any, name: str) -> None:
    assert create(stub, header(), {"image_chunk": GARBAGE[name]}) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([{"image_chunk": b"x"}], "FAILED_PRECONDITION"),
        ([header(), header()], "FAILED_PRECONDITION"),
        ([header()], "INVALID_ARGUMENT"),
        ([], "FAILED_PRECONDITION"),
        ([header(avatar_id="../../etc/passwd"), {"image_chunk": b"x"}], "INVALID_ARGUMENT"),
        ([header(avatar_id="eileen"), {"image_chunk": b"x"}], "ALREADY_EXISTS"),
        ([header(consent={"attested": True}), {"image_chunk": b"x"}], "INVALID_ARGUMENT"),
        ([header()] + [{"image_chunk": bytes(1 << 20)}] * 17, "INVALID_ARGUMENT"),
    ],
)
def test_a_wrong_upload_gets_its_status(stub: Any, parts: Any, code: str) -> None:
    assert create(stub, *parts) == code


@pytest.mark.parametrize(
    ("fields", "sound", "code"),
    [
        ({"avatar_id": "nobody"}, b"x", "NOT_FOUND"),
        ({"avatar_id": "eileen"}, b"no sound at all", "INVALID_ARGUMENT"),
        ({"avatar_id": "eileen"}, b"", "INVALID_ARGUMENT"),
        ({"avatar_id": "eileen", "container": "exe"}, b"x", "INVALID_ARGUMENT"),
        ({"avatar_id": "eileen", "container": "../x.mp4"}, b"x", "INVALID_ARGUMENT"),
    ],
)
def test_a_wrong_clip_gets_its_status(stub: Any, fields: Any, sound: bytes, code: str) -> None:
    head = pb.RenderClipRequest(header=pb.RenderClipRequest.Header(**fields))
    parts = [head, pb.RenderClipRequest(audio_file_chunk=sound)] if sound else [head]
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.RenderClip(iter(parts), timeout=60))
    assert caught.value.code().name == code
    assert "/tmp" not in caught.value.details()


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def hurried(serve: Serve) -> Iterator[Running]:
    """A server that waits for nobody."""
    with serve(
        first_message_seconds=0.3, idle_timeout_seconds=0.4, max_session_seconds=2.0,
        upload_seconds=0.3,
    ) as running:  # fmt: skip
        yield running


def test_a_client_that_never_begins(hurried: Running) -> None:
    with hurried.stub() as stub, Speaking(stub) as speaking:
        assert speaking.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_falls_silent(hurried: Running) -> None:
    with hurried.stub() as stub, Speaking(stub, pacing=pb.PACING_BURST) as speaking:
        assert speaking.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "nothing came" in speaking.call.details()


def test_a_client_that_never_ends(hurried: Running) -> None:
    with hurried.stub() as stub, Speaking(stub, idle_frames=True) as speaking:
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(0.05):
                speaking.send(sync=pb.Sync(token=1))

        thread = threading.Thread(target=go_on)
        thread.start()
        speaking.code()
        stop.set()
        thread.join()
        assert speaking.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "lasts at most" in speaking.call.details()


def test_an_image_that_drips(hurried: Running) -> None:
    def drip() -> Iterator[Any]:
        yield pb.CreateAvatarRequest(**header())
        while True:
            time.sleep(0.05)
            yield pb.CreateAvatarRequest(image_chunk=b"x")

    with hurried.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.CreateAvatar(drip(), timeout=60)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_bytes_that_are_no_http2_and_connections_that_say_nothing(server: Running) -> None:
    host, port = server.address.split(":")
    quiet = [socket.create_connection((host, int(port))) for _ in range(20)]
    with socket.create_connection((host, int(port)), timeout=30) as rude:
        rude.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(1000))
        while rude.recv(4096):
            pass
    with server.stub() as stub:
        assert stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=30).version
    for connection in quiet:
        connection.close()


def test_a_deadline_of_the_client(server: Running, stub: Any) -> None:
    with Speaking(stub, timeout=0.3, idle_frames=True) as speaking:
        assert speaking.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    _ended(server)


def test_a_clock_that_jumps(
    server: Running, stub: Any, voice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter([0.0, 4e9, -4e9] * 10_000)
    now = time.time
    with Speaking(stub, pacing=pb.PACING_REALTIME) as speaking:
        monkeypatch.setattr(time, "time", lambda: max(0.0, now() + next(jumps)))
        speaking.say(voice)
        speaking.done()
        codes = [frame.time_code for frame in speaking.frames()]
        monkeypatch.undo()
    np.testing.assert_allclose(np.diff(codes), 0.04, atol=1e-9)


# ── clients that go ──────────────────────────────────────────────────────────────────────────────


def _ended(server: Running) -> None:
    """All sessions but the bystander's have ended."""
    until = time.monotonic() + 30
    while server.server.stage.admission.active > 1:
        assert time.monotonic() < until
        time.sleep(0.02)


STATES: dict[str, Any] = {
    "before its config": lambda s, voice: None,
    "right after its config": lambda s, voice: s.send(**CONFIG),
    "while it waits": lambda s, voice: (s.send(**CONFIG), s.read()),
    "while it speaks": lambda s, voice: (
        s.send(config=pb.SessionConfig(idle_frames=True)), s.say(voice), s.read(), s.read(),
    ),
    "while pictures are drawn": lambda s, voice: (
        s.send(**config(avatar_id="eileen", outputs=VIDEO, video={"size": 256})),
        s.say(voice), s.read(), s.read(),
    ),
    "after it has half-closed": lambda s, voice: (s.send(**CONFIG), s.say(voice), s.done()),
    "after an interrupt": lambda s, voice: (
        s.send(**CONFIG), s.say(voice), s.send(interrupt=pb.Interrupt()), s.read(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_cancelling_in_every_state(server: Running, stub: Any, voice: Any, state: str) -> None:
    with Speaking(stub) as speaking:
        STATES[state](speaking, voice)
        speaking.call.cancel()
        assert speaking.code() == grpc.StatusCode.CANCELLED
    _ended(server)


_DYING = """
import os, sys, grpc
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb, avatar_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1])
config = pb.StreamSpeakRequest(config=pb.SessionConfig(idle_frames=True))
def requests():
    yield config
    import threading; threading.Event().wait()
call = avatar_pb2_grpc.AvatarServiceStub(channel).StreamSpeak(requests())
for count, answer in enumerate(call):
    if count == 5:
        os.kill(os.getpid(), 9)
"""


def test_a_client_that_is_killed(server: Running) -> None:
    done = subprocess.run([sys.executable, "-c", _DYING, server.address], check=False, timeout=120)
    assert done.returncode == -9
    _ended(server)


# ── faults of the server itself ──────────────────────────────────────────────────────────────────


def test_a_session_that_breaks_inside_breaks_alone(
    server: Running, stub: Any, voice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Speaking(stub, pacing=pb.PACING_BURST) as other:
        with Speaking(stub, pacing=pb.PACING_BURST, fps=10) as speaking:
            live = next(s for s in server.server.stage._live if s.plan.session.fps == 10)
            monkeypatch.setattr(live.session, "next_request", lambda: 1 / 0)
            speaking.say(voice)
            assert speaking.code() == grpc.StatusCode.UNAVAILABLE
            assert "division" not in speaking.call.details()
        other.say(voice)
        other.done()
        assert len(other.frames()) == 30


def test_one_bad_request_of_a_batch_spoils_no_other(
    server: Running, stub: Any, voice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = server.server.stage.scheduler._engine
    draw = engine.begin

    def begin(batch: Any) -> Any:
        if any(held.stream.plan.session.fps == 10 for held in batch):
            raise RuntimeError("this face cannot be drawn")
        return draw(batch)

    monkeypatch.setattr(engine, "begin", begin)
    settings = {"avatar_id": "eileen", "pacing": pb.PACING_BURST, "outputs": VIDEO}
    settings["video"] = {"size": 64}
    with Speaking(stub, **settings) as other:
        with Speaking(stub, **settings, fps=10) as bad:
            other.say(voice)
            bad.say(voice)
            assert bad.code() == grpc.StatusCode.UNAVAILABLE
        other.done()
        assert len(other.frames()) == 30


def test_a_picture_that_cannot_be_drawn_ends_its_session_alone(
    server: Running, stub: Any, voice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = server.server.stage.scheduler._engine
    draw = engine._draw_one

    def draw_one(request: Any) -> Any:
        if request.portrait.photo.shape[1] == 64:
            raise RuntimeError("this face cannot be drawn")
        return draw(request)

    monkeypatch.setattr(engine, "_draw_one", draw_one)
    settings = {"avatar_id": "eileen", "pacing": pb.PACING_BURST, "outputs": VIDEO}
    with Speaking(stub, **settings, video={"size": 96}) as other:
        with Speaking(stub, **settings, video={"size": 64}) as bad:
            other.say(voice)
            bad.say(voice)
            assert bad.code() == grpc.StatusCode.UNAVAILABLE
        other.done()
        assert len(other.frames()) == 30


# ── anything at all ──────────────────────────────────────────────────────────────────────────────

METHODS = {
    "StreamSpeak": "stream_stream",
    "CreateAvatar": "stream_unary",
    "RenderClip": "stream_stream",
    "ListAvatars": "unary_unary",
}


def test_bytes_that_are_no_message_are_an_invalid_argument(server: Running) -> None:
    torn = b"\x0a\xff"
    with server.channel() as channel:
        for method in ("ListAvatars", "DeleteAvatar"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/avatar.v1.AvatarService/{method}")(torn)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        begun = pb.StreamSpeakRequest(**CONFIG).SerializeToString()
        call = channel.stream_stream("/avatar.v1.AvatarService/StreamSpeak")(iter([begun, torn]))
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() == grpc.StatusCode.INVALID_ARGUMENT


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.sampled_from(sorted(METHODS)), st.lists(st.binary(max_size=80), min_size=1, max_size=3))
def test_bytes_that_are_no_messages(server: Running, method: str, data: list[bytes]) -> None:
    with server.channel() as channel:
        path = f"/avatar.v1.AvatarService/{method}"
        call = getattr(channel, METHODS[method])(path)
        streaming = METHODS[method] != "unary_unary"
        try:
            answer = call(iter(data) if streaming else data[0], timeout=20)
            if METHODS[method].endswith("stream"):
                list(answer)
        except grpc.RpcError as error:
            code = error.code().name
        else:
            code = "OK"
    assert code in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND")


chunks = st.builds(
    lambda data, name: {"audio": pb.AudioChunk(data=data, utterance_id=name)},
    st.binary(max_size=4000).map(lambda data: data[: len(data) // 2 * 2]),
    st.sampled_from(["", "a", "b"]),
)
others = st.sampled_from(
    [
        {"end_utterance": pb.EndUtterance()}, {"interrupt": pb.Interrupt()},
        {"interrupt": pb.Interrupt(utterance_id="a")}, {"sync": pb.Sync(token=1)},
        {"pause": pb.Pause(duration=Duration(nanos=100_000_000))},
        {"style": pb.StyleUpdate(style=pb.Style(emotion={"joy": 0.5}), now=True)},
    ]
)  # fmt: skip


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.lists(chunks | others, max_size=12))
def test_any_order_of_allowed_requests_ends_well(server: Running, requests: list[Any]) -> None:
    with server.stub() as stub, Speaking(stub, pacing=pb.PACING_BURST) as speaking:
        for request in requests:
            speaking.send(**request)
        speaking.done()
        answers = list(speaking.call)
        assert speaking.call.code() == grpc.StatusCode.OK
    syncs = sum("sync" in request for request in requests)
    assert sum(answer.HasField("synced") for answer in answers) == syncs
    indexes = [answer.frame.index for answer in answers if answer.HasField("frame")]
    assert indexes == sorted(set(indexes))


def test_a_method_that_does_not_exist(server: Running) -> None:
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/avatar.v1.AvatarService/MakeCoffee")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_every_error_of_the_tree_has_a_status_that_exists() -> None:
    import avatar.errors
    import avatar.serving.errors

    for module in (avatar.errors, avatar.serving.errors):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, avatar.errors.AvatarError):
                assert kind.grpc_status in grpc.StatusCode.__members__
                assert kind.__name__ in (module.__doc__ or "") or module is avatar.errors
