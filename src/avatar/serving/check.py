"""``avatar serve --check``: everything a server needs, tried without serving."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.errors import AvatarError
from avatar.serving.config import ServerConfig


@dataclass(frozen=True)
class Finding:
    """One thing that was tried, whether it is well, and what was found."""

    name: str
    ok: bool
    words: str


def check(config: ServerConfig) -> list[Finding]:
    """Try packages, files, avatars, models, and a session over a loopback port."""
    findings = [Finding("settings", True, "all known")]
    findings += [Finding("settings", True, f"warning: {words}") for words in config.warnings()]
    for name, attempt in (("server", _serve), ("avatars", _avatars)):
        try:
            findings.append(Finding(name, True, attempt(config)))
        except AvatarError as error:
            findings.append(Finding(name, False, " ".join(str(error).split())))
    return findings


def _avatars(config: ServerConfig) -> str:
    """Read every avatar in the folder; a damaged one is an error here."""
    from avatar.identity import Identity

    if config.avatars is None:
        return "no folder; avatars live as long as the server"
    if not Path(config.avatars).is_dir():
        return f"warning: there is no folder {config.avatars}; serving makes it"
    paths = sorted(Path(config.avatars).glob("*.avatar"))
    for path in paths:
        Identity.load(path)
    return f"{len(paths)} in {config.avatars}"


def _serve(config: ServerConfig) -> str:
    """Begin and end a server as configured, but for the port: the real one may be in use."""
    from avatar.serving.server import serving

    async def attempt() -> str:
        trial = replace(config, host="127.0.0.1", port=0, workers=1, metrics_port=None)
        if config.avatars is not None and not Path(config.avatars).exists():
            trial = replace(trial, avatars=None)
        async with serving(trial) as server:
            return f"models loaded, answered on port {server.port}"

    return asyncio.run(attempt())
