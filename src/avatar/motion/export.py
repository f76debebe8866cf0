"""Motion tracks as files: npz, JSON, and the CSV of Live Link Face.

The CSV is what Epic's iOS app *Live Link Face* records and Unreal, Blender and Maya importers
read: a timecode that counts 60 frames a second (``HH:MM:SS:FF.fff``), the number 61, the 52
blendshapes in ARKit's own order, and nine angles in radians. The eyes' signs are those of the
app's recordings: yaw towards the person's right and pitch downwards are positive. The head's are
those of programs that drive MetaHumans through the same columns: yaw towards the person's left,
pitch upwards, roll towards the person's right shoulder.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import avatar
from avatar.errors import ConfigError, InputError, OutputError
from avatar.face.pose import matrix_from_quaternion
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, VISEME_NAMES, FloatArray, Motion

if TYPE_CHECKING:
    from avatar.motion.track import MotionTrack

FORMAT = 1
"""Version of the npz and JSON layouts."""

_LIVE_LINK_SHAPES: tuple[str, ...] = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft",
    "EyeSquintLeft", "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight",
    "EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight", "EyeWideRight", "JawForward",
    "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight",
    "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight",
    "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft",
    "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft",
    "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft",
    "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft",
    "NoseSneerRight", "TongueOut",
)  # fmt: skip
_LIVE_LINK_ANGLES: tuple[str, ...] = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
LIVE_LINK_HEADER: tuple[str, ...] = (
    "Timecode", "BlendShapeCount", *_LIVE_LINK_SHAPES, *_LIVE_LINK_ANGLES,
)  # fmt: skip
"""The first line of a Live Link Face recording."""

_TIMECODE_FPS = 60
_ORDER = [ARKIT_NAMES.index(name[0].lower() + name[1:]) for name in _LIVE_LINK_SHAPES]


def save(track: MotionTrack, path: Path, *, landmarks: bool = True) -> Path:
    """Write a track; see ``MotionTrack.save``."""
    writers: dict[str, Callable[[MotionTrack, IO[bytes], bool], None]] = {
        ".npz": _write_npz, ".json": _write_json, ".csv": _write_csv,
    }  # fmt: skip
    write = writers.get(path.suffix.lower())
    if write is None:
        found = f"not {path.suffix!r}" if path.suffix else "and this one has none"
        raise ConfigError(f"{path}: the suffix must be .npz, .json or .csv, {found}")
    with _whole_file(path) as file:
        write(track, file, landmarks)
    return path


def load(path: Path) -> MotionTrack:
    """Read an ``.npz`` track; see ``MotionTrack.load``."""
    from avatar.motion.style import Style
    from avatar.motion.track import MotionTrack

    try:
        with np.load(path, allow_pickle=False) as found:
            settings = json.loads(str(found["settings"]))
            version = settings["version"]
            if version > FORMAT:
                raise InputError(
                    f"{path}: written by a newer version of this package (motion format "
                    f"{version}, this one reads up to {FORMAT}); upgrade the package"
                )
            if tuple(found["blendshape_names"]) != ARKIT_NAMES:
                raise InputError(f"{path}: its blendshapes are not the 52 of ARKit in their order")
            motion = Motion(
                expression=found["blendshapes"],
                rotation=found["rotation"],
                translation=found["translation"],
                gaze=found["gaze"],
                visemes=found["visemes"],
                fps=float(found["fps"]),
            )
            return MotionTrack(motion, int(settings["seed"]), Style(**settings["style"]))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a motion track of this package, or a damaged one; write it with "
            "`avatar motion` or MotionTrack.save"
        ) from error


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when all of it is written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists, "
            "has space, and may be written to"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _settings(track: MotionTrack) -> dict[str, Any]:
    return {
        "format": "avatar-motion", "version": FORMAT, "made_by": f"avatar {avatar.__version__}",
        "fps": track.fps, "seed": track.seed, "style": asdict(track.style),
    }  # fmt: skip


def _write_npz(track: MotionTrack, file: IO[bytes], landmarks: bool) -> None:
    motion = track.motion
    arrays: dict[str, NDArray[Any]] = {
        "settings": np.array(json.dumps(_settings(track))),
        "fps": np.array(track.fps),
        "times_seconds": track.times_seconds,
        "blendshapes": motion.expression,
        "blendshape_names": np.array(ARKIT_NAMES),
        "visemes": motion.visemes,
        "viseme_names": np.array(VISEME_NAMES),
        "rotation": motion.rotation,
        "translation": motion.translation,
        "gaze": motion.gaze,
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        if landmarks:
            with archive.open("landmarks.npy", "w", force_zip64=True) as member:
                shape = (len(track), LANDMARK_COUNT, 3)
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for block in track.iter_landmarks():
                    member.write(block.astype("<f4", copy=False).tobytes())


def _write_json(track: MotionTrack, file: IO[bytes], landmarks: bool) -> None:
    names = {"blendshape_names": ARKIT_NAMES, "viseme_names": VISEME_NAMES}
    head = json.dumps({**_settings(track), **names}, indent=1)
    file.write(f'{head.removesuffix("}").rstrip()},\n "frames": ['.encode())
    motion, times = track.motion, track.times_seconds
    points = _rows(track.iter_landmarks()) if landmarks else None
    for i in range(len(track)):
        frame: dict[str, Any] = {
            "time_seconds": round(float(times[i]), 6),
            "blendshapes": _decimals(motion.expression[i]),
            "visemes": _decimals(motion.visemes[i]),
            "rotation": _decimals(motion.rotation[i], 6),
            "translation": _decimals(motion.translation[i], 5),
            "gaze": _decimals(motion.gaze[i], 5),
        }
        if points is not None:
            frame["landmarks"] = _decimals(next(points))
        line = json.dumps(frame, separators=(",", ":"))
        file.write(f"{',' if i else ''}\n  {line}".encode())
    file.write(b"\n ]\n}\n")


def _rows(blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    for block in blocks:
        yield from block


def _decimals(values: FloatArray, digits: int = 4) -> Any:
    """Numbers rounded for text, without minus zero."""
    return (np.round(values.astype(np.float64), digits) + 0.0).tolist()


def _write_csv(track: MotionTrack, file: IO[bytes], landmarks: bool) -> None:
    file.write((",".join(LIVE_LINK_HEADER) + "\n").encode())
    motion = track.motion
    count = len(LIVE_LINK_HEADER) - 2
    for i, time in enumerate(track.times_seconds.tolist()):
        right, down = (float(v) for v in motion.gaze[i])
        eye = (-right, down, 0.0)
        values = [*motion.expression[i][_ORDER].tolist(), *_head_angles(motion.rotation[i])]
        numbers = ",".join(f"{value + 0.0:.10f}" for value in (*values, *eye, *eye))
        file.write(f"{timecode(time)},{count},{numbers}\n".encode())


def timecode(seconds: float) -> str:
    """``HH:MM:SS:FF.fff``, 60 frames a second, from the beginning of the sound."""
    thousandths = round(seconds * _TIMECODE_FPS * 1000)
    whole, frames = divmod(thousandths, _TIMECODE_FPS * 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}:{frames / 1000:06.3f}"


def _head_angles(rotation: FloatArray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in radians of a quaternion wxyz, in Live Link's signs."""
    m = matrix_from_quaternion(rotation).astype(np.float64)
    # Intrinsic yaw about y (down), then pitch about x (right), then roll about z (away).
    down = -math.asin(min(max(float(m[1, 2]), -1.0), 1.0))
    rightwards = math.atan2(float(m[0, 2]), float(m[2, 2]))
    clockwise = math.atan2(float(m[1, 0]), float(m[1, 1]))
    return -rightwards, -down, -clockwise
