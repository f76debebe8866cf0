"""``avatar train``: from folders of clips to weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatar.cli._common import JSON

if TYPE_CHECKING:
    from avatar.training.measure import Measured

train = typer.Typer(
    name="train", help="From folders of talking clips to trained weights.", no_args_is_help=True
)

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@train.command()
def prepare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders of clips of talking people, or clips."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards.")],
    faces: Annotated[
        Path | None, typer.Option(help="Write the folder that the generator learns from, too.")
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="A person that no training may see; may be given several times."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Clips measured at the same time.")] = 1,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Measure clips, judge them, put sound and lips in step, and write training shards.

    May be stopped and run again at any time. Says at the end what was kept, what not, and why.
    """
    from rich.console import Console

    from avatar.training.prepare import prepare as prepare_clips
    from avatar.training.prepare import write_faces
    from avatar.training.speech_data import HELD_OUT

    report = prepare_clips(folders, out, jobs=jobs, tell=_tell)
    if faces is not None:
        write_faces(report, out, set(held_out) if held_out else set(HELD_OUT), faces)
    if as_json:
        print(json.dumps(report.summary()))
        return
    Console().print(report.table())
    for key, value in report.summary().items():
        print(f"{key.replace('_', ' ')}: {value}")
    print(f"all figures: {out / 'report.json'}")


@train.command("audio-to-face", context_settings=_PASSED_ON, add_help_option=False)
def audio_to_face(context: typer.Context) -> None:
    """Train the network that turns sound into motion. ``--help`` shows its options."""
    from avatar.training.audio_to_face import main

    _hand_over(main, context)


@train.command("generator", context_settings=_PASSED_ON, add_help_option=False)
def generator(context: typer.Context) -> None:
    """Train one of the generator's networks. ``--help`` shows its options."""
    from avatar.training.generator import main

    _hand_over(main, context)


@train.command("rig", context_settings=_PASSED_ON, add_help_option=False)
def rig(context: typer.Context) -> None:
    """Build the face rig from measured people. ``--help`` shows its options."""
    from avatar.training.rig import main

    _hand_over(main, context)


def _tell(one: Measured, done: int, total: int) -> None:
    said = one.dropped or f"{one.frames} frames, {one.missed} without a face"
    typer.echo(f"[{done}/{total}] {one.source.name}: {said}", err=True)


def _hand_over(main: Callable[[], None], context: typer.Context) -> None:
    """Run the command line of a training with the words that follow its name here."""
    import sys

    before = sys.argv
    sys.argv = [f"avatar train {context.info_name}", *context.args]
    try:
        main()
    finally:
        sys.argv = before
