"""``avatar personalize``: an .avatar file with a mouth learnt from more pictures of the person."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from avatar.cli._common import FACE, JSON, progress_bar


def personalize(
    person: Annotated[
        Path, typer.Argument(help="An .avatar file, or the photo that shall be animated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .avatar file to write.")],
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PICTURE...]",
            help="Six to ten more photos, mouth closed, open, smiling; or one short video.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How long to learn at most.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same pictures, same seed: same result.")] = 0,
    face: Annotated[int | None, FACE] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Learn a person's own mouth from more pictures of them, in a minute or two.

    Nothing worse is ever written: one picture is held out, and what is not drawn clearly better
    after than before is left out of the file.
    """
    from avatar.avatar import Avatar
    from avatar.identity import check_path
    from avatar.personal import DEFAULT_STEPS

    begun = time.perf_counter()
    check_path(output)
    known = person.suffix.lower() == ".avatar"
    before = Avatar.load(person) if known else Avatar.from_image(person, face=face)
    given = list(pictures or [])
    with progress_bar(quiet=as_json, what="steps") as progress:
        after = before.personalize(
            given[0] if len(given) == 1 else given,
            steps=DEFAULT_STEPS if steps is None else steps,
            face=face, seed=seed, progress=progress,
        )  # fmt: skip
    path = after.save(output)
    seconds, deltas = time.perf_counter() - begun, after.identity.deltas
    if as_json:
        scores = None if deltas is None else [deltas.score_before, deltas.score_after]
        result = {
            "output": str(path), "kept": deltas is not None, "scores": scores,
            "seconds_taken": round(seconds, 3),
        }  # fmt: skip
        print(json.dumps(result))
    elif deltas is None:
        print(f"{path}: as before, nothing was kept")
    else:
        fall = 1.0 - deltas.score_after / deltas.score_before
        print(
            f"{path}: learnt from {deltas.pictures} picture(s) in {seconds:.0f} s; the held-out "
            f"picture is {fall:.0%} closer to the truth"
        )
