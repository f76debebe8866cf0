"""Avatars over gRPC: the server behind ``avatar serve``, and the client ``RemoteAvatar``.

The way of a session: ``service`` takes the call, ``speak`` (or ``a2f``) reads its protocol,
``live`` runs it, ``stream`` holds what waits, ``scheduler`` draws the frames of all sessions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatar.serving.client import RemoteAvatar, RemoteClip
    from avatar.serving.config import ServerConfig, load_config
    from avatar.serving.remote_session import RemoteSession
    from avatar.serving.server import Server, serving

_PLACES = {
    "RemoteAvatar": "client",
    "RemoteClip": "client",
    "RemoteSession": "remote_session",
    "Server": "server",
    "ServerConfig": "config",
    "load_config": "config",
    "serving": "server",
}

__all__ = [
    "RemoteAvatar",
    "RemoteClip",
    "RemoteSession",
    "Server",
    "ServerConfig",
    "load_config",
    "serving",
]


def __getattr__(name: str) -> Any:
    """The client needs no server packages, so each is loaded when it is asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'avatar.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"avatar.serving.{_PLACES[name]}"), name)
