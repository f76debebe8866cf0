"""The telling frames of a short video of a person."""

from __future__ import annotations

import os
from itertools import islice

import torch

from avatar.engine import Engine
from avatar.errors import FaceError, NoFaceError
from avatar.media import VideoReader
from avatar.personal.faces import PersonFaces, aligned_face

FRAMES = 12
"""How many are learnt from."""

_LOOKS_PER_SECOND = 8.0
_MOST_LOOKS = 240


def faces_of_video(path: str | os.PathLike[str], engine: Engine) -> PersonFaces:
    """At most ``FRAMES`` of the first half minute, spread from the most closed to the widest mouth.

    Raises:
        VideoError: it cannot be read.
        NoFaceError: no frame that was looked at shows a usable face.
    """
    frames, landmarks, looks = [], [], 0
    with VideoReader(path) as reader:
        step = max(1, round(reader.fps / _LOOKS_PER_SECOND))
        for image, _ in islice(reader, 0, _MOST_LOOKS * step, step):
            looks += 1
            try:
                frame, points = aligned_face(image, engine.find_face(image, face=0))
            except FaceError:
                continue  # a hand before it or a look aside; other frames will do
            frames.append(frame)
            landmarks.append(points)
    if not frames:
        raise NoFaceError(f"{os.fspath(path)}: no usable face in {looks} frames looked at")
    found = PersonFaces(torch.stack(frames), torch.stack(landmarks), torch.arange(478))
    return found.most_telling(FRAMES)
