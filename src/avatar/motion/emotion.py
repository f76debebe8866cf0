"""What the ten emotions look like: ARKit poses drawn after the facial actions of each.

The actions are those of Ekman's and Friesen's FACS (happiness 6 + 12, sadness 1 + 4 + 15, and so
on), in strengths that a face can speak under. A pose has two parts. ``face`` is always there.
``seal`` is there while the lips are together: it keeps them so, since a raised upper lip or a
smile alone would part them. No emotion opens a silent mouth; ``opening`` makes speech wider or
narrower instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avatar.types import ARKIT_NAMES, FloatArray


@dataclass(frozen=True)
class Emotion:
    """One emotion at full weight; names without ``Left`` and ``Right`` mean both sides.

    Attributes:
        face: blendshapes that are always there.
        seal: blendshapes that fade as speech parts the lips.
        opening: factor on how far speech opens the mouth.
        breath: factor on how fast the face breathes.
    """

    face: Mapping[str, float]
    seal: Mapping[str, float] = field(default_factory=dict)
    opening: float = 1.0
    breath: float = 1.0


EMOTIONS: Mapping[str, Emotion] = {
    "amazement": Emotion(
        face={"browInnerUp": 0.7, "browOuterUp": 0.65, "eyeWide": 0.6},
        seal={"mouthPress": 0.05},
        opening=1.25, breath=1.2,
    ),
    "anger": Emotion(
        face={
            "browDown": 1.0, "eyeSquint": 0.4, "eyeWide": 0.15, "noseSneer": 0.25,
            "mouthFrown": 0.4, "jawForward": 0.1,
        },
        seal={"mouthPress": 0.35, "mouthRollLower": 0.15},
        opening=1.15, breath=1.3,
    ),
    "cheekiness": Emotion(
        face={
            "mouthSmileLeft": 0.2, "mouthSmileRight": 0.6, "mouthDimpleRight": 0.3,
            "mouthRight": 0.08, "cheekSquintRight": 0.3, "eyeSquintLeft": 0.15,
            "eyeSquintRight": 0.3, "browOuterUpLeft": 0.45, "browInnerUp": 0.08,
            "browDownRight": 0.2,
        },
        seal={"mouthPress": 0.18},
    ),
    "disgust": Emotion(
        face={
            "noseSneer": 0.65, "browDown": 0.6, "eyeSquint": 0.4, "cheekSquint": 0.35,
            "mouthUpperUp": 0.1, "mouthFrown": 0.4,
        },
        seal={"mouthPress": 0.45, "mouthShrugLower": 0.45},
        opening=0.95,
    ),
    "fear": Emotion(
        face={
            "browInnerUp": 0.75, "browOuterUp": 0.25, "browDown": 0.12, "eyeWide": 0.6,
            "mouthStretch": 0.45, "mouthFrown": 0.15,
        },
        seal={"mouthPress": 0.05},
        opening=1.05, breath=1.8,
    ),
    "grief": Emotion(
        face={
            "browInnerUp": 0.9, "browDown": 0.2, "eyeSquint": 0.35, "eyeBlink": 0.2,
            "cheekSquint": 0.25, "mouthFrown": 0.95, "mouthStretch": 0.15,
        },
        seal={"mouthPress": 0.15, "mouthShrugLower": 0.25},
        opening=0.8, breath=1.3,
    ),
    "joy": Emotion(
        face={
            "mouthSmile": 0.6, "mouthDimple": 0.15, "cheekSquint": 0.4, "eyeSquint": 0.3,
            "browOuterUp": 0.1,
        },
        seal={"mouthPress": 0.18},
        opening=1.1,
    ),
    "outofbreath": Emotion(
        face={
            "browInnerUp": 0.4, "browDown": 0.1, "eyeBlink": 0.12, "eyeSquint": 0.15,
            "cheekPuff": 0.12, "mouthFrown": 0.12,
        },
        seal={"mouthPress": 0.12},
        opening=1.2, breath=3.0,
    ),
    "pain": Emotion(
        face={
            "browDown": 0.75, "browInnerUp": 0.3, "eyeSquint": 0.65, "eyeBlink": 0.12,
            "cheekSquint": 0.5, "noseSneer": 0.35, "mouthStretch": 0.45, "mouthFrown": 0.2,
        },
        seal={"mouthPress": 0.35, "mouthShrugLower": 0.2},
        opening=0.95, breath=1.6,
    ),
    "sadness": Emotion(
        face={
            "browInnerUp": 0.7, "browDown": 0.1, "eyeBlink": 0.18, "eyeSquint": 0.1,
            "mouthFrown": 0.8,
        },
        seal={"mouthPress": 0.08, "mouthShrugLower": 0.2},
        opening=0.85, breath=0.9,
    ),
}  # fmt: skip
"""By name: the ten emotions of NVIDIA's Audio2Face protocol."""


def sides(name: str) -> tuple[str, ...]:
    """The ARKit names that ``name`` means: itself, or its left and right; none if unknown."""
    if name in ARKIT_NAMES:
        return (name,)
    both = (f"{name}Left", f"{name}Right")
    return both if both[0] in ARKIT_NAMES else ()


def weights_of(values: Mapping[str, float]) -> FloatArray:
    """``[52]`` from values by name; zero where none is named.

    Raises:
        KeyError: a name that is no blendshape.
    """
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in values.items():
        targets = sides(name)
        if not targets:
            raise KeyError(name)
        for target in targets:
            weights[ARKIT_NAMES.index(target)] = value
    return weights
