"""Settings of the server: a TOML file, then the environment, then flags; the last one wins.

An environment variable is ``AVATAR_SERVE_`` and the name in capitals. A name that does not exist is
refused with the nearest one that does, wherever it comes from.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from avatar.config import from_mapping
from avatar.errors import ConfigError
from avatar.integrations.live_link import resolve

ENVIRONMENT_PREFIX = "AVATAR_SERVE_"


@dataclass(frozen=True)
class ServerConfig:
    """All settings of ``avatar serve``; times in seconds, sizes in bytes.

    Attributes:
        host: address to listen on; other machines reach the server only if it says so.
        port: 0 lets the system choose one.
        workers: processes that share the port.
        device: that draws: ``cpu``, ``cuda`` or ``cuda:1``; hearing stays on the CPU.
        avatars: folder of ``.avatar`` files; without one they live as long as the server.
        consent_required: CreateAvatar demands attested consent.
        token_file: bearer tokens, one a line after its owner's name; without it all may call.
        tls_cert, tls_key: PEM files; without them the connection is not encrypted.
        client_ca: PEM file of who may sign client certificates; with it every client needs one.
        metrics_host, metrics_port: of the Prometheus page; no port, no page. Worker ``k`` of
            several takes ``metrics_port + k``.
        reflection: let tools ask which services there are.
        audio2face: also speak the Audio2Face-3D protocol.
        tracing: OpenTelemetry spans of sessions, to where its own settings say.
        live_link: ``host:port`` of a Live Link listener, such as Unreal, that gets every real-time
            session too.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        max_sessions: live sessions at once in one worker.
        max_video_sessions: ... of which with pictures, clips included.
        max_message_bytes: largest single request.
        max_image_bytes: largest image file of CreateAvatar.
        max_sound_bytes: largest sound file of RenderClip.
        max_render_seconds: longest sound of RenderClip.
        max_audio_chunk_seconds: longest single AudioChunk.
        max_audio_ahead_seconds: sound that may wait in a session.
        max_session_seconds: longest session.
        idle_timeout_seconds: longest time without a request while nothing is left to say.
        first_message_seconds: longest wait for the first request of a stream.
        upload_seconds: longest time for a whole upload.
        drain_seconds: how long running sessions may go on after SIGTERM.
        max_frames_ahead: frames that may be made but not sent, in one session.
        step_sessions: most sessions in one batch of the models.
        encoder_threads: threads that encode pictures.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    workers: int = 1
    device: str = "cpu"
    avatars: str | None = None
    consent_required: bool = False
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    client_ca: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    reflection: bool = True
    audio2face: bool = True
    tracing: bool = False
    live_link: str | None = None
    log_level: str = "info"
    max_sessions: int = 200
    max_video_sessions: int = 8
    max_message_bytes: int = 4 << 20
    max_image_bytes: int = 16 << 20
    max_sound_bytes: int = 64 << 20
    max_render_seconds: float = 600.0
    max_audio_chunk_seconds: float = 10.0
    max_audio_ahead_seconds: float = 30.0
    max_session_seconds: float = 3600.0
    idle_timeout_seconds: float = 300.0
    first_message_seconds: float = 10.0
    upload_seconds: float = 60.0
    drain_seconds: float = 30.0
    max_frames_ahead: int = 4
    step_sessions: int = 32
    encoder_threads: int = 2

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be within 0 to 65535, got {self.port}")
        if self.metrics_port is not None and not 0 <= self.metrics_port <= 65535:
            raise ConfigError(f"metrics_port must be within 0 to 65535, got {self.metrics_port}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key go together; give both or neither")
        if self.client_ca is not None and self.tls_cert is None:
            raise ConfigError("client_ca needs tls_cert and tls_key: it checks TLS clients")
        if self.live_link is not None:
            resolve(self.live_link)
        if self.workers > 1 and self.port == 0:
            raise ConfigError("several workers share one port; give its number")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise ConfigError(
                f"log_level must be debug, info, warning or error, got {self.log_level!r}"
            )

    @property
    def address(self) -> str:
        """What clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def warnings(self) -> list[str]:
        """What is allowed but rarely meant."""
        found = []
        if not _is_local(self.host):
            if self.token_file is None and self.client_ca is None:
                found.append(f"{self.host}: anyone who reaches this address may use the server")
            if self.tls_cert is None:
                found.append(f"{self.host}: the connection is not encrypted; see tls_cert")
        return found


def load_config(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> ServerConfig:
    """Put the settings together.

    Args:
        path: a TOML file of settings, all at the top level.
        environment: of the process by default.
        flags: settings of the command line; None values are as good as not given.

    Raises:
        ConfigError: no such file, not TOML, an unknown name, an impossible value.
    """
    values: dict[str, Any] = {} if path is None else _read(Path(path))
    from_mapping(ServerConfig, values)
    values |= _from_environment(os.environ if environment is None else environment)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    return from_mapping(ServerConfig, values | given)


def parse_setting(text: str) -> tuple[str, Any]:
    """``name=value`` as given on the command line.

    Raises:
        ConfigError: no equals sign, an unknown name, or a value of another kind.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"expected NAME=VALUE, got {text!r}")
    return name, _typed(name, value)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as reason:
        raise ConfigError(f"{path}: cannot be read: {reason.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise ConfigError(f"{path}: not a TOML file: {reason}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for key, text in environment.items():
        if key.startswith(ENVIRONMENT_PREFIX):
            name = key.removeprefix(ENVIRONMENT_PREFIX).lower()
            found[name] = _typed(name, text)
    return found


def _typed(name: str, text: str) -> Any:
    """``text`` as the type that setting ``name`` has."""
    hints = get_type_hints(ServerConfig)
    if name not in hints:
        from_mapping(ServerConfig, {name: text})  # says which name is near
    kind = hints[name]
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        if kind in (int, int | None):
            return int(text)
        return float(text) if kind is float else text
    except (ValueError, KeyError):
        words = {bool: "true or false", float: "a number"}.get(kind, "a whole number")
        raise ConfigError(f"{name} must be {words}, got {text!r}") from None


def _check(name: str, value: object) -> None:
    """The type of one setting, and that amounts are positive."""
    kind = get_type_hints(ServerConfig)[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name}: got {value!r}, which is of the wrong kind; see avatar serve -h")
    amounts = ("max_", "workers", "step_", "encoder_", "first_", "idle_", "upload_", "drain_")
    if name.startswith(amounts) and isinstance(value, int | float) and not value > 0:
        raise ConfigError(f"{name} must be above 0, got {value}")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
