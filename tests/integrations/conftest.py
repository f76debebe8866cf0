"""A server on loopback, as in the tests of the server itself."""

from __future__ import annotations

from tests.serving.conftest import avatars, serve, server, voice

__all__ = ["avatars", "serve", "server", "voice"]
