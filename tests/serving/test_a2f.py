"""The Audio2Face-3D protocol: by our own copy of its messages, and by NVIDIA's own package."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.integrations.peers import peer
from tests.serving.conftest import RATE, Running, pcm16

from avatar.serving._stubs.a2f import audio2face_3d_pb2 as a2f
from avatar.serving._stubs.a2f import audio_pb2, controller_pb2_grpc, status_pb2
from avatar.serving.curves import PASCAL_NAMES

Part = a2f.AudioWithEmotionStream


def header(**sound: Any) -> Any:
    usual = {"channel_count": 1, "samples_per_second": RATE, "bits_per_sample": 16}
    audio = audio_pb2.AudioHeader(**(usual | sound))
    return Part(audio_stream_header=a2f.AudioWithEmotionStreamHeader(audio_header=audio))


def sound(pcm: bytes, emotions: Any = ()) -> Iterator[Any]:
    for begin in range(0, len(pcm), 2 * RATE):
        data = pcm[begin : begin + 2 * RATE]
        chunk = a2f.AudioWithEmotion(audio_buffer=data, emotions=emotions)
        yield Part(audio_with_emotion=chunk)
        emotions = ()


END = Part(end_of_audio=Part.EndOfAudio())


def process(server: Running, requests: list[Any]) -> list[Any]:
    with server.channel() as channel:
        stub = controller_pb2_grpc.A2FControllerServiceStub(channel)
        return list(stub.ProcessAudioStream(iter(requests), timeout=60))


def weights(answers: list[Any], curve: str) -> Any:
    place = PASCAL_NAMES.index(curve)
    return np.array(
        [
            row.values[place]
            for answer in answers
            for row in answer.animation_data.skel_animation.blend_shape_weights
        ]
    )


def test_header_then_animation_with_the_sound_echoed_then_status(
    server: Running, voice: Any
) -> None:
    pcm = pcm16(voice)
    answers = process(server, [header(), *sound(pcm), END])
    first, *animation, event, status = answers
    names = first.animation_data_stream_header.skel_animation_header.blend_shapes
    assert tuple(names) == PASCAL_NAMES
    assert len(names) == 52
    assert (names[0], names[17], names[51]) == ("EyeBlinkLeft", "JawOpen", "TongueOut")
    assert len(animation) == 36  # 1.2 s at 30 frames a second
    assert b"".join(part.animation_data.audio.audio_buffer for part in animation) == pcm
    codes = [p.animation_data.skel_animation.blend_shape_weights[0].time_code for p in animation]
    np.testing.assert_allclose(np.diff(codes), 1 / 30, atol=1e-4)
    assert weights(animation, "JawOpen").max() > 0.1
    assert event.event.event_type == a2f.END_OF_A2F_AUDIO_PROCESSING
    assert status.status.code == status_pb2.Status.SUCCESS


def test_emotions_begin_at_their_time(server: Running, voice: Any) -> None:
    pcm = pcm16(np.tile(voice, 2))
    joy = a2f.EmotionWithTimeCode(time_code=1.2, emotion={"joy": 1.0})
    smile = weights(process(server, [header(), *sound(pcm, [joy]), END]), "MouthSmileLeft")
    assert smile[50:].mean() > smile[:30].mean() + 0.1


def test_multipliers_and_offsets_of_curves(server: Running, voice: Any) -> None:
    first = header()
    shapes = first.audio_stream_header.blendshape_params
    shapes.bs_weight_multipliers["JawOpen"] = 0.0
    shapes.bs_weight_multipliers["TongueTipUp"] = 1.0  # a curve that is not ARKit's
    shapes.bs_weight_offsets["BrowInnerUp"] = 0.75
    answers = process(server, [first, *sound(pcm16(voice)), END])
    assert weights(answers, "JawOpen").max() == 0
    assert weights(answers, "BrowInnerUp").min() >= 0.75


@pytest.mark.parametrize(
    ("requests", "code"),
    [
        ([next(sound(bytes(64)))], "FAILED_PRECONDITION"),
        ([header(), header()], "FAILED_PRECONDITION"),
        ([header(channel_count=2)], "INVALID_ARGUMENT"),
        ([header(bits_per_sample=32)], "INVALID_ARGUMENT"),
        ([header(samples_per_second=0)], "INVALID_ARGUMENT"),
        ([header(), next(sound(bytes(63)))], "INVALID_ARGUMENT"),
        ([header(), Part()], "INVALID_ARGUMENT"),
        ([], "FAILED_PRECONDITION"),
    ],
)
def test_bad_requests_get_a_status(server: Running, requests: list[Any], code: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        process(server, requests)
    assert caught.value.code().name == code


def test_nvidias_own_package_is_content(server: Running, voice: Any) -> None:
    python = peer("nvidia")
    pcm = pcm16(voice)
    client = Path(__file__).parent / "nvidia_client.py"
    done = subprocess.run(
        [python, client, server.address], input=pcm, capture_output=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert tuple(found["curves"]) == PASCAL_NAMES
    assert len(found["frames"]) == 36
    assert found["echo"] == len(pcm)
    assert (found["events"], found["status"]) == (1, 0)
    assert found["felt"] == [0.5]
