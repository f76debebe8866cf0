"""A photo and a voice become a talking face, in real time on two CPU cores.

>>> from avatar import Avatar
>>> Avatar.from_image("portrait.jpg").speak("hello.wav").save("hello.mp4")  # doctest: +SKIP

Importing this package loads nothing heavy and changes nothing: the models are read when the first
avatar is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from avatar.errors import AvatarError
from avatar.types import Audio, Frame, Landmarks, Motion

if TYPE_CHECKING:
    from avatar.avatar import Avatar
    from avatar.clip import Clip
    from avatar.identity import Identity
    from avatar.media import load_audio, load_image
    from avatar.motion import Style
    from avatar.session import Session

__version__ = "0.1.0"

__all__ = [
    "Audio",
    "Avatar",
    "AvatarError",
    "Clip",
    "Frame",
    "Identity",
    "Landmarks",
    "Motion",
    "Session",
    "Style",
    "__version__",
    "load_audio",
    "load_image",
]

_LAZY = {
    "Avatar": "avatar.avatar",
    "Clip": "avatar.clip",
    "Identity": "avatar.identity",
    "Session": "avatar.session",
    "Style": "avatar.motion.style",
    "load_audio": "avatar.media",
    "load_image": "avatar.media",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'avatar' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
