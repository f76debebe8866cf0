"""Faces: finding them, and the 3-D rig that explains and moves their landmarks."""

from __future__ import annotations

from avatar.face.advice import Advice, advise
from avatar.face.detector import FaceDetector, MediaPipeDetector, find_face
from avatar.face.fan import FaceAlignmentDetector
from avatar.face.person import PersonSegmenter
from avatar.face.rig import FaceRig, RigFit

__all__ = [
    "Advice",
    "FaceAlignmentDetector",
    "FaceDetector",
    "FaceRig",
    "MediaPipeDetector",
    "PersonSegmenter",
    "RigFit",
    "advise",
    "find_face",
]
