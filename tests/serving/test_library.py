"""Avatars over the wire: made, listed, used, forgotten; and clips."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import skimage.data
import soundfile
from PIL import Image
from tests.serving.conftest import RATE, Running, Serve, Speaking

from avatar.errors import NoFaceError
from avatar.media import VideoReader
from avatar.serving import RemoteAvatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.errors import AvatarExistsError, UnknownAvatarError


@pytest.fixture(scope="module")
def photo() -> bytes:
    buffer = io.BytesIO()
    pixels = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def shelf(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a folder of its own."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "broken.avatar").write_bytes(b"no avatar at all")
    with serve(avatars=str(folder)) as running:
        yield running


def test_an_avatar_is_made_used_and_forgotten(shelf: Running, photo: bytes, voice: Any) -> None:
    with RemoteAvatar(shelf.address, "ann") as ann, shelf.stub() as stub:
        assert ann.create(photo, attested_by="NASA", note="public domain") == "ann"
        (info,) = stub.ListAvatars(pb.ListAvatarsRequest()).avatars
        assert (info.avatar_id, info.width, info.height) == ("ann", 300, 300)
        assert (info.consent.attested, info.consent.attested_by) == (True, "NASA")
        assert info.create_time.seconds > 1.7e9
        with pytest.raises(AvatarExistsError):
            RemoteAvatar(shelf.address, "ann").create(photo)
        assert RemoteAvatar(shelf.address).avatar_id == "ann"
        session = ann.session(size=64)
        ann.delete()
        session.push_audio(voice)
        session.flush()
        assert len(list(session)) == 30  # who uses it goes on
        session.close()
        with pytest.raises(UnknownAvatarError):
            ann.session()
        with pytest.raises(UnknownAvatarError):
            ann.delete()


def test_the_server_chooses_a_name(shelf: Running, photo: bytes) -> None:
    remote = RemoteAvatar(shelf.address)
    name = remote.create(photo)
    assert name in remote.avatars()
    remote.delete()


def test_an_image_without_a_face_is_the_same_error_as_here(shelf: Running) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 300), (90, 120, 90)).save(buffer, "PNG")
    with pytest.raises(NoFaceError):
        RemoteAvatar(shelf.address, "nobody").create(buffer.getvalue())
    assert "nobody" not in RemoteAvatar(shelf.address).avatars()


def test_two_at_once_make_one_avatar(shelf: Running, photo: bytes) -> None:
    ends: list[str] = []

    def make() -> None:
        try:
            ends.append(RemoteAvatar(shelf.address, "twin").create(photo))
        except AvatarExistsError:
            ends.append("exists")

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["exists", "exists", "twin"]
    RemoteAvatar(shelf.address, "twin").delete()


def test_pages(serve: Serve, avatars: Path, tmp_path: Path) -> None:
    data = (avatars / "eileen.avatar").read_bytes()
    for name in "abcde":
        (tmp_path / f"{name}.avatar").write_bytes(data)
    with serve(avatars=str(tmp_path)) as running, running.stub() as stub:
        first = stub.ListAvatars(pb.ListAvatarsRequest(page_size=2))
        second = stub.ListAvatars(
            pb.ListAvatarsRequest(page_size=3, page_token=first.next_page_token)
        )
        with pytest.raises(grpc.RpcError):
            stub.ListAvatars(pb.ListAvatarsRequest(page_size=-1))
    assert [info.avatar_id for info in first.avatars] == ["a", "b"]
    assert [info.avatar_id for info in second.avatars] == ["c", "d", "e"]
    assert second.next_page_token == ""


def test_consent_can_be_demanded(serve: Serve, photo: bytes, tmp_path: Path) -> None:
    with serve(consent_required=True, avatars=str(tmp_path)) as running, running.stub() as stub:
        header = pb.CreateAvatarRequest(header=pb.CreateAvatarRequest.Header(avatar_id="x"))
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateAvatar(iter([header, pb.CreateAvatarRequest(image_chunk=photo)]))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert RemoteAvatar(running.address, "x").create(photo, attested_by="me") == "x"


def test_a_clip_comes_as_a_file_with_its_sum(server: Running, stub: Any, voice: Any) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, voice, RATE, format="WAV")
    header = pb.RenderClipRequest.Header(avatar_id="eileen", container="webm", size=64, fps=10)
    parts = [pb.RenderClipRequest(header=header)]
    data = sound.getvalue()
    parts += [
        pb.RenderClipRequest(audio_file_chunk=data[k : k + 9000]) for k in range(0, len(data), 9000)
    ]
    answers = list(stub.RenderClip(iter(parts), timeout=60))
    file = b"".join(answer.file_chunk for answer in answers)
    kinds = [answer.WhichOneof("part") for answer in answers]
    result = answers[-1].result
    assert kinds == sorted(kinds, key=["progress", "file_chunk", "result"].index)
    assert result.sha256 == hashlib.sha256(file).hexdigest()
    assert (result.frames, result.bytes) == (12, len(file))
    assert result.duration_seconds == pytest.approx(1.2)
    assert len(list(VideoReader(file))) == 12


def test_a_clip_that_is_cancelled_leaves_no_work(server: Running, stub: Any) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(60 * RATE), RATE, format="WAV")
    header = pb.RenderClipRequest.Header(avatar_id="eileen", size=256)
    parts = [
        pb.RenderClipRequest(header=header),
        pb.RenderClipRequest(audio_file_chunk=sound.getvalue()),
    ]
    call = stub.RenderClip(iter(parts))
    assert next(call).HasField("progress")
    call.cancel()
    with Speaking(stub, pacing=pb.PACING_BURST) as speaking:
        while server.server.stage.admission.active > 1:
            speaking.send(sync=pb.Sync(token=1))
            speaking.read()


def test_a_sound_that_is_too_long_is_refused(serve: Serve) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(3 * RATE), RATE, format="WAV")
    header = pb.RenderClipRequest.Header(avatar_id="eileen")
    parts = [
        pb.RenderClipRequest(header=header),
        pb.RenderClipRequest(audio_file_chunk=sound.getvalue()),
    ]
    with serve(max_render_seconds=2.0) as running, running.stub() as stub:
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.RenderClip(iter(parts)))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
