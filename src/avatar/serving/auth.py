"""Who may call: bearer tokens from a file, and the certificates of TLS.

Both files may be replaced while the server runs; the next call sees the new ones.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from avatar.errors import ConfigError
from avatar.serving.config import ServerConfig
from avatar.serving.errors import TokenError

_OPEN = "/grpc.health.v1.Health/"
"""Probes carry no tokens."""


class TokenFile:
    """Bearer tokens, one a line: ``owner token``; ``#`` begins a comment.

    Only digests are kept in memory, and every digest is compared in constant time.

    Raises:
        ConfigError: the file cannot be read, or a line is not an owner and a token.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._owners: dict[bytes, str] = {}
        self._load()

    def owner(self, token: str) -> str | None:
        """Who has ``token``, or None where nobody does."""
        self._reload()
        digest = _digest(token)
        found = None
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, digest):
                found = owner
        return found

    def _reload(self) -> None:
        """Read the file again where it changed; one that is broken or gone changes nothing."""
        with self._lock:
            try:
                if _stamp(self._path) != self._stamp:
                    self._load()
            except (OSError, ConfigError):
                return

    def _load(self) -> None:
        try:
            stamp, text = _stamp(self._path), self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as reason:
            raise ConfigError(f"{self._path}: the token file cannot be read: {reason}") from None
        owners = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if words and (len(words) != 2 or len(words[1]) < 16):
                raise ConfigError(
                    f"{self._path}:{number}: expected an owner and a token of 16 characters or more"
                )
            if words:
                owners[_digest(words[1])] = words[0]
        if not owners:
            raise ConfigError(f"{self._path}: holds no token, so nobody could call")
        self._stamp, self._owners = stamp, owners


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without a known token; health checks pass."""

    def __init__(self, tokens: TokenFile, refused: Callable[[], None]) -> None:
        self._tokens = tokens
        self._refused = refused

    async def intercept_service(
        self, proceed: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        if details.method.startswith(_OPEN):
            return await proceed(details)
        metadata = dict(details.invocation_metadata)
        kind, _, token = str(metadata.get("authorization", "")).partition(" ")
        if kind.lower() == "bearer" and self._tokens.owner(token.strip()) is not None:
            return await proceed(details)
        self._refused()
        handler = await proceed(details)
        return _refusal(handler) if handler is not None else None


def _refusal(handler: Any) -> Any:
    """A handler of the same kind that says no before it reads anything."""

    async def refuse(request: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "this server wants a bearer token it knows, in the metadata 'authorization'",
            (("avatar-error", TokenError.__name__),),
        )

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(
        refuse,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def server_credentials(config: ServerConfig) -> Any | None:
    """TLS of the server, mutual with ``client_ca``; None for a plain connection.

    Raises:
        ConfigError: a file cannot be read, or the certificate and key are not PEM.
    """
    if config.tls_cert is None or config.tls_key is None:
        return None
    paths = [Path(config.tls_cert), Path(config.tls_key)]
    if config.client_ca is not None:
        paths.append(Path(config.client_ca))
    seen = [_read_pem(path) for path in paths]

    def configuration(pems: list[bytes]) -> Any:
        root = pems[2] if len(pems) > 2 else None
        return grpc.ssl_server_certificate_configuration([(pems[1], pems[0])], root)

    def current() -> Any:
        """The files as they are now; None, which means no change, where they cannot be read."""
        nonlocal seen
        try:
            now = [_read_pem(path) for path in paths]
        except ConfigError:
            return None
        if now == seen:
            return None
        seen = now
        return configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        configuration(seen), current, require_client_authentication=config.client_ca is not None
    )


def _read_pem(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise ConfigError(f"{path}: cannot be read: {reason.strerror}") from None
    if b"-----BEGIN " not in data:
        raise ConfigError(f"{path}: not a PEM file")
    return data


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
