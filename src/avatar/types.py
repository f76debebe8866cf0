"""The values that flow through the house.

Conventions, stated once:

- images are ``[H, W, 3]`` uint8 RGB, row 0 at the top;
- landmarks are pixels of the image they belong to: x right, y down, z away from the camera, all in
  the same unit (MediaPipe's weak perspective), so a head turns rigidly in them;
- rotations are unit quaternions ``(w, x, y, z)`` in that same frame; translation is in units of the
  inter-ocular distance (between the outer eye corners);
- expression is the 52 ARKit blendshapes in [0, 1], in the order of ``ARKIT_NAMES``;
- time is counted in audio samples and stated in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AudioError, InputError

FloatArray = NDArray[np.float32]
ImageArray = NDArray[np.uint8]

ARKIT_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft",
    "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 ARKit blendshapes, in the alphabetical order MediaPipe uses, ``tongueOut`` last."""

VISEME_NAMES: tuple[str, ...] = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip
"""The 15 Oculus visemes."""

LANDMARK_COUNT = 478

IBUG68: tuple[int, ...] = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""Mesh index of each iBUG point, the order of ``Landmarks.ibug68``."""


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono sound.

    Attributes:
        samples: ``[N]`` float32 in [-1, 1].
        sample_rate: samples a second, in hertz.

    Raises:
        AudioError: the samples are not mono float32, or are not finite.
    """

    samples: FloatArray
    sample_rate: int

    def __post_init__(self) -> None:
        x = self.samples
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 1:
            found = f"{getattr(x, 'dtype', type(x).__name__)} of shape {np.shape(x)}"
            raise AudioError(
                f"audio must be mono float32 in [-1, 1], got {found}; "
                "use avatar.load_audio(...), which reads files, bytes and arrays of any kind"
            )
        if not isinstance(self.sample_rate, Integral) or self.sample_rate <= 0:
            raise AudioError(
                f"sample_rate must be a positive whole number of hertz, got {self.sample_rate!r}"
            )
        # The square is finite too, but for sound so loud that one has to look.
        if not math.isfinite(np.dot(x, x)) and not np.isfinite(x).all():
            bad = int(np.flatnonzero(~np.isfinite(x))[0])
            raise AudioError(
                f"audio holds NaN or infinity (first at sample {bad}, "
                f"{bad / self.sample_rate:.3f} s); repair the recording, "
                "for example with numpy.nan_to_num"
            )

    @property
    def duration_seconds(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The 478 points of the MediaPipe face mesh.

    Attributes:
        points: ``[478, 3]`` float32 pixels: x right, y down, z away from the camera.
    """

    points: FloatArray

    def __post_init__(self) -> None:
        if np.shape(self.points) != (LANDMARK_COUNT, 3):
            raise InputError(
                "landmarks must be [478, 3] (MediaPipe face mesh), "
                f"got {list(np.shape(self.points))}; "
                "68-point landmarks are lifted by avatar.face.FaceRig.lift"
            )

    def ibug68(self) -> FloatArray:
        """The 68 iBUG points, ``[68, 3]`` pixels, for interchange with other tools."""
        return self.points[list(IBUG68)]


@dataclass(frozen=True, eq=False)
class Motion:
    """What the face does: one entry a frame.

    Attributes:
        expression: ``[T, 52]`` float32 in [0, 1], ARKit blendshapes (``ARKIT_NAMES``).
        rotation: ``[T, 4]`` unit quaternion wxyz, relative to the pose in the photo.
        translation: ``[T, 3]`` in inter-ocular distances, relative to the place in the photo.
        gaze: ``[T, 2]`` radians (to the right of the image, down), relative to the photo.
        visemes: ``[T, 15]`` float32 weights in [0, 1] (``VISEME_NAMES``).
        fps: frames a second.
    """

    expression: FloatArray
    rotation: FloatArray
    translation: FloatArray
    gaze: FloatArray
    visemes: FloatArray
    fps: float

    def __post_init__(self) -> None:
        frames = len(self.expression)
        for name, width in (
            ("expression", len(ARKIT_NAMES)), ("rotation", 4), ("translation", 3),
            ("gaze", 2), ("visemes", len(VISEME_NAMES)),
        ):  # fmt: skip
            shape = getattr(self, name).shape
            if shape != (frames, width):
                raise InputError(f"motion.{name} must be [{frames}, {width}], got {list(shape)}")

    def __len__(self) -> int:
        return len(self.expression)

    def __getitem__(self, frames: slice) -> Motion:
        return Motion(
            self.expression[frames], self.rotation[frames], self.translation[frames],
            self.gaze[frames], self.visemes[frames], self.fps,
        )  # fmt: skip

    @classmethod
    def still(cls, frames: int, fps: float) -> Motion:
        """``frames`` frames of a calm face that does not move."""
        rotation = np.zeros((frames, 4), np.float32)
        rotation[:, 0] = 1.0
        visemes = np.zeros((frames, len(VISEME_NAMES)), np.float32)
        visemes[:, 0] = 1.0
        return cls(
            expression=np.zeros((frames, len(ARKIT_NAMES)), np.float32),
            rotation=rotation,
            translation=np.zeros((frames, 3), np.float32),
            gaze=np.zeros((frames, 2), np.float32),
            visemes=visemes,
            fps=fps,
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and the sound that belongs to it, on one clock.

    Attributes:
        index: number of the frame in its session, from 0.
        pts_seconds: when it is shown, counted in audio samples.
        image: ``[H, W, 3]`` uint8 RGB, or ``[H, W, 4]`` with ``background="alpha"`` (not
            premultiplied); None in a session without pixels.
        audio: the sound from this frame to the next; over a session the slices join without a gap.
        landmarks: the face as drawn.
        expression: ``[52]`` ARKit blendshapes in [0, 1].
        visemes: ``[15]`` Oculus visemes in [0, 1].
        utterance_id: counts the utterances of a session, from 0.
        idle: nothing is said here; ``utterance_id`` is that of the last utterance.
        quality: 1 as the face can be drawn, less where it was drawn with less effort.
        rotation: ``[4]`` unit quaternion wxyz of the head, relative to the photo.
        translation: ``[3]`` of the head in inter-ocular distances, relative to the photo.
    """

    index: int
    pts_seconds: float
    image: ImageArray | None
    audio: Audio
    landmarks: Landmarks
    expression: FloatArray
    visemes: FloatArray
    utterance_id: int = 0
    idle: bool = False
    quality: float = 1.0
    rotation: FloatArray = field(default_factory=lambda: np.eye(1, 4, dtype=np.float32)[0])
    translation: FloatArray = field(default_factory=lambda: np.zeros(3, np.float32))

    @property
    def blendshapes(self) -> dict[str, float]:
        """The expression by name."""
        return dict(zip(ARKIT_NAMES, self.expression.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Face:
    """One face found in an image.

    Attributes:
        landmarks: its 478 points.
        expression: ``[52]`` ARKit blendshapes measured in the image, in [0, 1].
        box: (left, top, right, bottom) pixels around the landmarks.
    """

    landmarks: Landmarks
    expression: FloatArray
    box: tuple[float, float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        low, high = self.landmarks.points.min(0), self.landmarks.points.max(0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        object.__setattr__(self, "box", box)
