"""``avatar advise``: which further photo would help most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatar.cli._common import JSON

if TYPE_CHECKING:
    from avatar.face.advice import Advice


def advise(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="One or more photos of one person.")
    ],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Say how well photos cover a person, and which further one would help most.

    The score, 0 to 100, is how much of a talking face the photos show; the rest must be invented.
    """
    from avatar.face import advice

    found = advice.advise([str(photo) for photo in photos])
    if as_json:
        print(json.dumps(advice.as_json(found)))
    else:
        print("\n".join(_lines(found)))


def _lines(found: Advice) -> list[str]:
    lines = []
    for photo in found.photos:
        if photo.quality is None:
            lines.append(f"{photo.name}: cannot be used")
        else:
            shown = ", ".join(photo.shows) or "no state of a talking face clearly"
            lines.append(f"{photo.name}: quality {100 * photo.quality.quality:.0f}; shows {shown}")
        lines += [f"  but {problem}" for problem in photo.problems]
    lines += [f"warning: {warning}" for warning in found.warnings]
    lines.append(f"score {100 * found.score:.0f} of 100")
    if found.wanted:
        best, *others = found.wanted
        lines.append(f"a further photo would help most with {best.photo} (+{100 * best.gain:.0f})")
        lines += [f"then with {other.photo} (+{100 * other.gain:.0f})" for other in others[:2]]
    else:
        lines.append("nothing is missing")
    return lines
