"""Every error this package raises on purpose.

    AvatarError
    ├── InputError                 what was given cannot be used
    │   ├── ImageError             not an image, truncated, too large to decode safely
    │   ├── AudioError             not audio, empty, not finite
    │   ├── VideoError             not a video, no frames
    │   ├── FaceError              an image that cannot become an avatar
    │   │   ├── NoFaceError        no human face found
    │   │   ├── FaceTooSmallError  a face with too few pixels
    │   │   └── FacePoseError      turned further than the rig can follow
    │   ├── AvatarFileError        not an ``.avatar`` file, or a damaged one
    │   └── ConfigError            an unknown or impossible setting
    ├── OutputError                the result could not be written
    ├── WeightsError               a model file is missing or damaged
    ├── DependencyError            an optional package is not installed
    └── SessionClosedError         a session was used after ``close()``

Each class carries the exit code the CLI ends with and the gRPC status a server answers with.
Messages say what is wrong, with which input, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class AvatarError(Exception):
    """Base of all errors of this package."""

    exit_code: ClassVar[int] = 1
    grpc_status: ClassVar[str] = "INTERNAL"


class InputError(AvatarError, ValueError):
    """What was given cannot be used."""

    exit_code = 2
    grpc_status = "INVALID_ARGUMENT"


class ImageError(InputError):
    """The image cannot be read: not an image, truncated, or too large to decode safely."""

    exit_code = 3


class AudioError(InputError):
    """The audio cannot be used: not audio, empty, or with NaN or infinite samples."""

    exit_code = 4


class VideoError(InputError):
    """The video cannot be read, or has no frames."""

    exit_code = 5


class FaceError(InputError):
    """The image is readable but cannot become an avatar."""

    exit_code = 6


class NoFaceError(FaceError):
    """No human face was found."""

    exit_code = 7


class FaceTooSmallError(FaceError):
    """The face has too few pixels."""

    exit_code = 8


class FacePoseError(FaceError):
    """The head is turned further than the rig can follow."""

    exit_code = 9


class AvatarFileError(InputError):
    """The file is not an ``.avatar`` file, or it is damaged."""

    exit_code = 10


class ConfigError(InputError):
    """A setting is unknown or impossible."""

    exit_code = 11


class OutputError(AvatarError, OSError):
    """The result could not be written: no permission, no space, unknown container."""

    exit_code = 12
    grpc_status = "RESOURCE_EXHAUSTED"


class WeightsError(AvatarError):
    """A model file is missing, damaged, or of another version."""

    exit_code = 13
    grpc_status = "FAILED_PRECONDITION"


class DependencyError(AvatarError, ImportError):
    """An optional package is needed for this and is not installed."""

    exit_code = 14
    grpc_status = "UNIMPLEMENTED"


class SessionClosedError(AvatarError):
    """The session was closed and cannot take or give anything more."""

    exit_code = 15
    grpc_status = "FAILED_PRECONDITION"
