"""NVIDIA's published package as a client, unchanged: run in an environment of its own.

python nvidia_client.py HOST:PORT < pcm16-at-16-kHz > result.json
"""

from __future__ import annotations

import json
import sys

import grpc
from nvidia_ace.audio_pb2 import AudioHeader
from nvidia_audio2face_3d.audio2face_pb2_grpc import A2FControllerServiceStub
from nvidia_audio2face_3d.messages_pb2 import (
    AudioWithEmotion,
    AudioWithEmotionStream,
    AudioWithEmotionStreamHeader,
    BlendShapeParameters,
    EmotionAggregate,
    EmotionPostProcessingParameters,
    EmotionWithTimeCode,
    FaceParameters,
)

RATE = 16_000
Part = AudioWithEmotionStream


def requests(pcm: bytes):
    header = AudioHeader(
        audio_format=AudioHeader.AUDIO_FORMAT_PCM,
        channel_count=1,
        samples_per_second=RATE,
        bits_per_sample=16,
    )
    yield Part(
        audio_stream_header=AudioWithEmotionStreamHeader(
            audio_header=header,
            face_params=FaceParameters(float_params={"lowerFaceStrength": 1.2}),
            emotion_post_processing_params=EmotionPostProcessingParameters(max_emotions=3),
            blendshape_params=BlendShapeParameters(
                bs_weight_multipliers={"JawOpen": 1.0, "TongueTipUp": 1.0},
                bs_weight_offsets={"JawOpen": 0.0},
            ),
        )
    )
    emotions = [EmotionWithTimeCode(time_code=0.5, emotion={"joy": 1.0, "anger": 0.0})]
    for begin in range(0, len(pcm), 2 * RATE):
        chunk = AudioWithEmotion(audio_buffer=pcm[begin : begin + 2 * RATE], emotions=emotions)
        yield Part(audio_with_emotion=chunk)
        emotions = []
    yield Part(end_of_audio=Part.EndOfAudio())


def main() -> None:
    pcm = sys.stdin.buffer.read()
    found = {"curves": [], "frames": [], "echo": 0, "events": 0, "status": None, "felt": []}
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for part in A2FControllerServiceStub(channel).ProcessAudioStream(requests(pcm)):
            kind = part.WhichOneof("stream_part")
            if kind == "animation_data_stream_header":
                header = part.animation_data_stream_header
                found["curves"] = list(header.skel_animation_header.blend_shapes)
                assert header.audio_header.samples_per_second == RATE
            elif kind == "animation_data":
                data = part.animation_data
                for weights in data.skel_animation.blend_shape_weights:
                    found["frames"].append([weights.time_code, list(weights.values)])
                length = len(data.audio.audio_buffer)
                assert pcm[found["echo"] : found["echo"] + length] == data.audio.audio_buffer
                found["echo"] += length
                aggregate = EmotionAggregate()
                if data.metadata["emotion_aggregate"].Unpack(aggregate):
                    found["felt"] += [emotion.time_code for emotion in aggregate.input_emotions]
            elif kind == "event":
                found["events"] += 1
            elif kind == "status":
                found["status"] = part.status.code
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
