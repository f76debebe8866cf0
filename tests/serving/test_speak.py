"""A live session over a real channel: what comes back, in which order, and when it stops."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
from PIL import Image
from tests.serving.conftest import RATE, Running, Speaking

from avatar import Avatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.types import ARKIT_NAMES, VISEME_NAMES

BURST = pb.PACING_BURST
EVERYTHING = [
    pb.OUTPUT_KIND_BLENDSHAPES, pb.OUTPUT_KIND_LANDMARKS, pb.OUTPUT_KIND_HEAD_POSE,
    pb.OUTPUT_KIND_VISEMES, pb.OUTPUT_KIND_VIDEO, pb.OUTPUT_KIND_AUDIO,
]  # fmt: skip


def test_it_begins_with_the_names_and_says_that_it_is_synthetic(stub: Any) -> None:
    with Speaking(stub, fps=30) as speaking:
        started = speaking.started
        assert tuple(started.blendshape_names) == ARKIT_NAMES
        assert tuple(started.viseme_names) == VISEME_NAMES
        assert started.landmark_topology == "mediapipe_face_mesh_478"
        assert (started.fps, started.audio.sample_rate_hz) == (30, RATE)
        assert started.ai_generated
        assert started.session_id
        assert 0 < started.algorithmic_delay.ToNanoseconds() < 1e9
        assert not started.HasField("video")


def test_frames_equal_those_of_a_local_session(stub: Any, avatars: Path, voice: Any) -> None:
    local = Avatar.load(avatars / "eileen.avatar").session(size=96, seed=5)
    local.push_audio(voice)
    local.flush()
    expected = list(local)
    raw = pb.VideoFormat(codec=pb.VIDEO_CODEC_RGB24, size=96)
    with Speaking(
        stub, avatar_id="eileen", pacing=BURST, seed=5, outputs=EVERYTHING, video=raw
    ) as speaking:
        assert max(speaking.started.video.width, speaking.started.video.height) == 96
        speaking.say(voice)
        speaking.done()
        got = speaking.frames()
    assert len(got) == len(expected) == 30
    for frame, own in zip(got, expected, strict=True):
        assert (frame.index, frame.time_code) == (own.index, own.pts_seconds)
        assert own.image is not None
        assert frame.video.data == own.image.tobytes()
        np.testing.assert_array_equal(np.array(frame.blendshapes, np.float32), own.expression)
        np.testing.assert_array_equal(np.array(frame.visemes, np.float32), own.visemes)
        points = np.array(frame.landmarks.xyz, np.float32).reshape(-1, 3)
        np.testing.assert_array_equal(points, own.landmarks.points)
        rotation = np.array(frame.head_pose.rotation_wxyz, np.float32)
        np.testing.assert_array_equal(rotation, own.rotation)
    sound = np.frombuffer(b"".join(frame.audio for frame in got), "<i2")
    np.testing.assert_array_equal(sound, np.rint(voice * 32768))


@pytest.mark.parametrize("pacing", [BURST, pb.PACING_REALTIME])
def test_frames_in_a_crowd_equal_those_of_a_local_session(
    stub: Any, avatars: Path, voice: Any, pacing: int
) -> None:
    seeds = range(24)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Speaking(stub, pacing=pacing, seed=seed)) for seed in seeds]
        for speaking in crowd:
            speaking.say(voice)
            speaking.done()
        got = [speaking.frames() for speaking in crowd]
    for seed, frames in zip(seeds, got, strict=True):
        local = Avatar.load(avatars / "eileen.avatar").session(pixels=False, seed=seed)
        local.push_audio(voice)
        local.flush()
        own = np.stack([frame.expression for frame in local])
        np.testing.assert_array_equal([frame.blendshapes for frame in frames], own)


def grouped(call: Any) -> tuple[list[list[Any]], list[Any]]:
    """The groups of frames of a call to its end, and the events with the frames before each."""
    groups, events, frames = [], [], 0
    for answer in call:
        part = answer.WhichOneof("part")
        if part == "frames":
            groups.append(list(answer.frames.frames))
            frames += len(groups[-1])
        elif part == "event":
            events.append((answer.event.type, frames))
        else:
            raise AssertionError(part)
    return groups, events


@pytest.mark.parametrize("pacing", [BURST, pb.PACING_REALTIME])
def test_frames_come_in_groups_where_that_is_asked_for(stub: Any, voice: Any, pacing: int) -> None:
    with Speaking(stub, pacing=pacing, seed=5) as speaking:
        speaking.say(voice)
        speaking.done()
        alone = speaking.frames()
    with Speaking(stub, pacing=pacing, seed=5, frames_per_message=7) as speaking:
        speaking.say(voice)
        speaking.done()
        groups, events = grouped(speaking.call)
    assert [frame for group in groups for frame in group] == alone
    # The event that an utterance has begun goes before its first frame, so it splits no group.
    assert [len(group) for group in groups] == [7, 7, 7, 7, 2]
    assert events == [
        (pb.Event.TYPE_UTTERANCE_STARTED, 0), (pb.Event.TYPE_UTTERANCE_FINISHED, len(alone)),
    ]  # fmt: skip


def test_what_is_said_between_frames_stays_between_them_in_groups(stub: Any, voice: Any) -> None:
    with Speaking(stub, pacing=BURST, frames_per_message=25) as speaking:
        for name in ("one", "two"):
            speaking.say(voice[:8000], name)
            speaking.send(end_utterance=pb.EndUtterance())
        speaking.done()
        groups, events = grouped(speaking.call)
    assert [len(group) for group in groups] == [12, 13] or [len(g) for g in groups] == [13, 12]
    assert [frames for _, frames in events] == [0, len(groups[0]), len(groups[0]), 25]


def test_a_group_of_a_stream_that_idles_leaves_when_its_last_frame_is_due(
    stub: Any, voice: Any
) -> None:
    with Speaking(stub, idle_frames=True, frames_per_message=5) as speaking:
        speaking.say(voice)
        counts, times = [], []
        for answer in speaking.call:
            if answer.WhichOneof("part") == "frames":
                counts.append(len(answer.frames.frames))
                times.append(time.monotonic())
                if len(counts) == 10:
                    break
    # The event that the utterance has begun splits one group in two.
    assert counts.count(5) >= 8
    assert max(counts) == 5
    assert times[-1] - times[0] > (sum(counts[1:]) - 5) / 25


def test_an_interrupt_drops_the_frames_of_a_group_that_waits(stub: Any, voice: Any) -> None:
    with Speaking(stub, frames_per_message=25) as speaking:
        speaking.say(voice[:8000])
        answer = speaking.read()
        assert answer.type == pb.Event.TYPE_UTTERANCE_STARTED
        speaking.send(interrupt=pb.Interrupt())
        assert speaking.read().type == pb.Event.TYPE_INTERRUPTED
        speaking.say(voice[:8000], "next")
        speaking.done()
        groups, _ = grouped(speaking.call)
    assert {frame.utterance_id for group in groups for frame in group} == {"next"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames_per_message": 26},
        {"frames_per_message": 2, "avatar_id": "eileen", "outputs": [pb.OUTPUT_KIND_VIDEO]},
    ],
)
def test_groups_have_a_limit_and_no_pictures(stub: Any, wrong: dict[str, Any]) -> None:
    with Speaking(stub) as speaking:
        speaking.send(config=pb.SessionConfig(**wrong))
        assert speaking.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_frame_carries_no_more_than_was_asked_for(stub: Any, voice: Any) -> None:
    with Speaking(stub, pacing=BURST) as speaking:
        speaking.say(voice)
        speaking.done()
        frame = speaking.frames()[5]
    assert len(frame.blendshapes) == 52
    assert not frame.HasField("video")
    assert not frame.HasField("landmarks")
    assert not frame.HasField("head_pose")
    assert not frame.visemes
    assert not frame.audio


def test_utterances_are_announced_by_the_ids_of_the_client(stub: Any, voice: Any) -> None:
    kind = pb.Event
    with Speaking(stub, pacing=BURST) as speaking:
        speaking.say(voice[:8000], "one")
        speaking.say(voice[8000:], "two")  # another id ends the first
        speaking.send(end_utterance=pb.EndUtterance())
        speaking.say(voice[:8000])
        speaking.done()
        events = [
            (answer.event.type, answer.event.utterance_id)
            for answer in speaking.call if answer.HasField("event")
        ]  # fmt: skip
    assert events == [
        (kind.TYPE_UTTERANCE_STARTED, "one"), (kind.TYPE_UTTERANCE_FINISHED, "one"),
        (kind.TYPE_UTTERANCE_STARTED, "two"), (kind.TYPE_UTTERANCE_FINISHED, "two"),
        (kind.TYPE_UTTERANCE_STARTED, "utterance-1"), (kind.TYPE_UTTERANCE_FINISHED, "utterance-1"),
    ]  # fmt: skip


def test_a_sync_is_answered_after_all_that_can_be_known(stub: Any, voice: Any) -> None:
    with Speaking(stub, pacing=BURST) as speaking:
        speaking.say(voice)
        speaking.send(sync=pb.Sync(token=7))
        frames = 0
        while not isinstance(part := speaking.read(), pb.Synced):
            frames += isinstance(part, pb.Frame)
        assert part.token == 7
        assert 24 <= frames < 30
        speaking.done()
        assert frames + len(speaking.frames()) == 30


def test_nothing_of_an_interrupted_utterance_follows_the_interrupt(stub: Any, voice: Any) -> None:
    with Speaking(stub, pacing=pb.PACING_REALTIME, idle_frames=True) as speaking:
        speaking.say(np.tile(voice, 5), "old")
        while not (isinstance(part := speaking.read(), pb.Frame) and not part.idle):
            pass
        speaking.send(interrupt=pb.Interrupt())
        speaking.say(voice, "old")  # late sound of what was interrupted
        speaking.say(voice, "new")
        while not (isinstance(part, pb.Event) and part.type == pb.Event.TYPE_INTERRUPTED):
            part = speaking.read()
        assert part.utterance_id == "old"
        names = set()
        while not (isinstance(part, pb.Frame) and part.utterance_id == "new"):
            part = speaking.read()
            if isinstance(part, pb.Frame) and not part.idle:
                names.add(part.utterance_id)
        assert names == {"new"}


def test_an_interrupt_of_another_utterance_changes_nothing(stub: Any, voice: Any) -> None:
    with Speaking(stub, pacing=BURST) as speaking:
        speaking.say(voice, "mine")
        speaking.send(interrupt=pb.Interrupt(utterance_id="yours"))
        speaking.done()
        assert len(speaking.frames()) == 30


def test_real_time_with_idle_frames_goes_on_in_silence(stub: Any) -> None:
    with Speaking(stub, idle_frames=True, outputs=[pb.OUTPUT_KIND_AUDIO]) as speaking:
        frames = [speaking.read() for _ in range(4)]
    assert all(frame.idle for frame in frames)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert frames[0].audio == bytes(2 * RATE // 25)


def test_a_style_shows(stub: Any, voice: Any) -> None:
    def smile(**style: Any) -> float:
        with Speaking(stub, pacing=BURST, style=pb.Style(**style)) as speaking:
            speaking.say(voice)
            speaking.done()
            place = ARKIT_NAMES.index("mouthSmileLeft")
            return float(np.mean([frame.blendshapes[place] for frame in speaking.frames()]))

    assert smile(emotion={"joy": 1.0}) > smile() + 0.1


def test_h264_can_be_decoded_and_says_which_frames_are_key_frames(stub: Any, voice: Any) -> None:
    video = pb.VideoFormat(codec=pb.VIDEO_CODEC_H264_ANNEX_B, size=97)
    with Speaking(
        stub, avatar_id="eileen", pacing=BURST, outputs=[pb.OUTPUT_KIND_VIDEO], video=video
    ) as speaking:
        size = (speaking.started.video.width, speaking.started.video.height)
        speaking.say(voice[:8000])
        speaking.done()
        frames = speaking.frames()
    assert size[0] % 2 == size[1] % 2 == 0
    assert [frame.video.key_frame for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert all(frame.video.data.startswith(b"\0\0\0\1") for frame in frames)
    decoder = av.CodecContext.create("h264", "r")
    pictures = [p for f in frames for p in decoder.decode(av.Packet(f.video.data))]
    pictures += decoder.decode(None)
    assert len(pictures) == len(frames)
    assert (pictures[0].width, pictures[0].height) == size


@pytest.mark.parametrize("codec", [pb.VIDEO_CODEC_JPEG, pb.VIDEO_CODEC_RGBA32])
def test_pictures_for_browsers_and_for_textures(stub: Any, voice: Any, codec: int) -> None:
    with Speaking(
        stub, avatar_id="eileen", pacing=BURST, outputs=[pb.OUTPUT_KIND_VIDEO],
        video=pb.VideoFormat(codec=codec, size=64),
    ) as speaking:  # fmt: skip
        video = speaking.started.video
        speaking.say(voice[:1600])
        speaking.done()
        data = speaking.frames()[0].video.data
    if codec == pb.VIDEO_CODEC_JPEG:
        assert Image.open(io.BytesIO(data)).size == (video.width, video.height)
    else:
        pixels = np.frombuffer(data, np.uint8).reshape(video.height, video.width, 4)
        assert (pixels[..., 3] == 255).all()


def test_opus_comes_in_and_pcm_goes_out(stub: Any, voice: Any) -> None:
    opus = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_OPUS)
    with Speaking(
        stub, pacing=BURST, audio=opus,
        outputs=[pb.OUTPUT_KIND_AUDIO, pb.OUTPUT_KIND_BLENDSHAPES],
    ) as speaking:  # fmt: skip
        out = speaking.started.audio
        assert (out.encoding, out.sample_rate_hz) == (pb.AUDIO_ENCODING_PCM_S16LE, 48_000)
        for packet in opus_packets(voice):
            speaking.send(audio=pb.AudioChunk(data=packet))
        speaking.done()
        frames = speaking.frames()
    sound = np.frombuffer(b"".join(frame.audio for frame in frames), "<i2")
    assert len(sound) / 48_000 == pytest.approx(len(voice) / RATE, abs=0.03)
    jaw = [frame.blendshapes[ARKIT_NAMES.index("jawOpen")] for frame in frames]
    assert max(jaw) > 0.1


def opus_packets(voice: Any) -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "flt"
    packets = []
    for begin in range(0, len(voice) - 319, 320):
        frame = av.AudioFrame.from_ndarray(voice[None, begin : begin + 320], "flt", "mono")
        frame.sample_rate, frame.pts = RATE, begin
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def test_a_reader_that_stalls_stops_the_work_and_not_the_interrupt(
    server: Running, stub: Any, voice: Any
) -> None:
    """What is made ahead is bounded by frames, so memory is bounded whatever the client does."""
    raw = pb.VideoFormat(codec=pb.VIDEO_CODEC_RGB24, size=256)
    with Speaking(
        stub, avatar_id="eileen", pacing=BURST, outputs=[pb.OUTPUT_KIND_VIDEO], video=raw
    ) as speaking:
        speaking.say(np.tile(voice, 4), "old")
        (live,) = server.server.stage._live
        speaking.read()  # nothing more is read: 200 KB a frame soon fill the window
        while live._in_flight < live._max_ahead:
            time.sleep(0.01)
        assert live.session.metrics().frames < 40
        speaking.send(interrupt=pb.Interrupt())
        seen = []
        while not (isinstance(part := speaking.read(), pb.Event) and
                   part.type == pb.Event.TYPE_INTERRUPTED):  # fmt: skip
            seen.append(part)
        assert len(seen) < 40
