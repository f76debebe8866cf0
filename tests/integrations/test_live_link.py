"""Frames as packets of Live Link Face: their bytes, and what others read in them."""

from __future__ import annotations

import csv
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integrations.peers import peer
from tests.serving.conftest import RATE, Serve, Speaking

from avatar import Avatar
from avatar.errors import ConfigError
from avatar.integrations.live_link import LiveLinkFace
from avatar.motion import Style, track
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.curves import PASCAL_NAMES
from avatar.types import Frame


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What Unreal would be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(30)
        yield found


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def decode(packet: bytes) -> dict[str, Any]:
    """A packet by the field, as the engine reads it."""
    place = 1
    texts = []
    for _ in range(2):
        (length,) = struct.unpack_from("!i", packet, place)
        texts.append(packet[place + 4 : place + 4 + length].decode())
        place += 4 + length
    frame, part, numerator, denominator, count = struct.unpack_from("!ifiiB", packet, place)
    assert len(packet) == place + 17 + 4 * count
    return {
        "version": packet[0], "device": texts[0], "subject": texts[1], "frame": frame,
        "part": part, "rate": (numerator, denominator),
        "values": struct.unpack_from(f"!{count}f", packet, place + 17),
    }  # fmt: skip


@pytest.fixture(scope="module")
def person(avatars: Path) -> Avatar:
    return Avatar.load(avatars / "eileen.avatar")


@pytest.fixture(scope="module")
def frames(person: Avatar, voice: Any) -> list[Frame]:
    style = Style(gaze=(0.1, -0.05), head_motion=2.0)
    with person.session(pixels=False, style=style, seed=3) as session:
        session.push_audio(voice)
        session.flush()
        return list(session)


def test_a_packet_holds_the_frame(listener: socket.socket, frames: list[Frame]) -> None:
    with LiveLinkFace(address(listener), subject="Eileen", fps=25) as link:
        for frame in frames:
            link.send(frame)
        found = [decode(listener.recv(2000)) for _ in frames]
    assert {(f["version"], f["subject"], f["rate"]) for f in found} == {(6, "Eileen", (25, 1))}
    assert len({f["device"] for f in found}) == 1
    assert len(found[0]["device"]) == 36
    assert [f["frame"] + round(f["part"]) for f in found] == list(range(30))
    for frame, read in zip(frames, found, strict=True):
        curves = dict(zip(PASCAL_NAMES, read["values"], strict=False))
        for name, weight in frame.blendshapes.items():
            assert curves[name[0].upper() + name[1:]] == pytest.approx(weight, abs=1e-6)


def test_the_angles_are_those_of_the_recordings(
    voice: Any, frames: list[Frame], tmp_path: Path
) -> None:
    """Of the CSV that ``avatar motion`` writes; there the eyes are finer than their curves."""
    path = tmp_path / "track.csv"
    style = Style(gaze=(0.1, -0.05), head_motion=2.0)
    track((voice, RATE), fps=25, seed=3, style=style).save(path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with LiveLinkFace("127.0.0.1:11111") as link:
        found = [decode(link.packet(frame))["values"][52:] for frame in frames]
    names = ("HeadYaw", "HeadPitch", "HeadRoll")
    there = np.array([[float(row[name]) for name in names] for row in rows])
    assert np.abs(there).max() > 0.005
    np.testing.assert_allclose(np.array(found)[:, :3], there, atol=1e-5)
    eyes = ("LeftEyeYaw", "LeftEyePitch")
    there = np.array([[float(row[name]) for name in eyes] for row in rows])
    np.testing.assert_allclose(np.array(found)[:, 3:5], there, atol=0.02)


@pytest.mark.parametrize("fps", [24, 30, 30000 / 1001, 60])
def test_rates_are_fractions(frames: list[Frame], fps: float) -> None:
    with LiveLinkFace("127.0.0.1", fps=fps) as link:
        numerator, denominator = decode(link.packet(frames[0]))["rate"]
    assert numerator / denominator == pytest.approx(fps)


def test_somebody_elses_program_reads_it(frames: list[Frame]) -> None:
    python = peer("livelink")
    with LiveLinkFace("127.0.0.1:11111", subject="Eileen", fps=30) as link:
        packet = link.packet(frames[10])
    code = (
        "import sys, json; from pylivelinkface import PyLiveLinkFace, FaceBlendShape as F;"
        "ok, face = PyLiveLinkFace.decode(sys.stdin.buffer.read());"
        "print(json.dumps([ok, face.name, face.fps, {f.name: face.get_blendshape(f) for f in F}]))"
    )
    done = subprocess.run([python, "-c", code], input=packet, capture_output=True, check=True)
    ok, name, fps, shapes = json.loads(done.stdout)
    assert (ok, name, fps) == (True, "Eileen", 30)
    for curve, weight in frames[10].blendshapes.items():
        assert shapes[curve[0].upper() + curve[1:]] == pytest.approx(weight, abs=1e-6)


@pytest.mark.parametrize("wrong", ["", "host:port", "127.0.0.1:0", "127.0.0.1:99999", ":5"])
def test_an_address_that_is_none(wrong: str) -> None:
    with pytest.raises(ConfigError):
        LiveLinkFace(wrong)


def test_nobody_listens(frames: list[Frame]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        where = address(gone)
    with LiveLinkFace(where) as link:
        for frame in frames:
            link.send(frame)


def test_the_server_sends_real_time_sessions_there(
    serve: Serve, voice: Any, listener: socket.socket
) -> None:
    with serve(live_link=address(listener)) as running, running.stub() as stub:
        with Speaking(stub, fps=30) as one, Speaking(stub, fps=30) as two:
            with Speaking(stub, pacing=pb.PACING_BURST) as hurried:
                hurried.say(voice)
                hurried.done()
                assert len(hurried.frames()) == 30
            for speaking in (one, two):
                speaking.say(voice)
                speaking.done()
            sent = {"avatar": one.frames(), "avatar-2": two.frames()}
        listener.settimeout(0.5)
        found = []
        while True:
            try:
                found.append(decode(listener.recv(2000)))
            except TimeoutError:
                break
    for subject, frames in sent.items():
        mine = [packet for packet in found if packet["subject"] == subject]
        assert len(mine) == len(frames) == 36
        jaw = [packet["values"][PASCAL_NAMES.index("JawOpen")] for packet in mine]
        place = list(one.started.blendshape_names).index("jawOpen")
        np.testing.assert_allclose(jaw, [f.blendshapes[place] for f in frames], atol=1e-6)
    assert {packet["subject"] for packet in found} == set(sent)
