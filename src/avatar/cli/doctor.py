"""``avatar doctor``: what is installed, and how fast it is."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from avatar.cli._common import JSON


def doctor(as_json: Annotated[bool, JSON] = False) -> None:
    """Say what is installed, which kernels run, how fast, and what would make it faster."""
    from avatar.doctor import examine, show

    checks = examine()
    if as_json:
        print(json.dumps({"ok": all(c.ok for c in checks), "checks": [asdict(c) for c in checks]}))
    else:
        show(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
