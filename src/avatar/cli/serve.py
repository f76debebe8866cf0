"""``avatar serve``: the gRPC server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from avatar.serving.config import ServerConfig


def serve(
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 50051 by default.")] = None,
    avatars: Annotated[Path | None, typer.Option(help="Folder of .avatar files.")] = None,
    device: Annotated[
        str | None, typer.Option(help="That draws: cpu, cuda or cuda:1; cpu by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port.")] = None,
    live_link: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Send faces to Unreal's Live Link, too."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any setting (docs/serving.md lists all)."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try everything, say what was found, and end.")
    ] = False,
) -> None:
    """Let other programs make avatars speak, over gRPC.

    Settings come from the file, then from AVATAR_SERVE_* variables, then from here. SIGTERM lets
    running sessions finish. The log is JSON on stderr.
    """
    from avatar.serving.config import load_config, parse_setting
    from avatar.serving.workers import serve as run

    flags = dict(parse_setting(text) for text in settings or [])
    named = {
        "host": host,
        "port": port,
        "avatars": None if avatars is None else str(avatars),
        "device": device,
        "workers": workers,
        "live_link": live_link,
    }
    flags |= {name: value for name, value in named.items() if value is not None}
    loaded = load_config(config, flags=flags)
    if check:
        _check(loaded)
        return
    for words in loaded.warnings():
        print(f"warning: {words}", file=sys.stderr)
    run(loaded)


def _check(config: ServerConfig) -> None:
    from avatar.serving.check import check

    findings = check(config)
    for finding in findings:
        print(f"{'ok ' if finding.ok else 'NOT'} {finding.name}: {finding.words}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
