"""``avatar evaluate``: how good what is made is, in numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatar.cli._common import JSON
from avatar.errors import InputError, OutputError

if TYPE_CHECKING:
    from avatar.evaluation.lipsync_study import Report

evaluate = typer.Typer(
    help="Measure how good what is made is.", no_args_is_help=True, add_completion=False
)


@evaluate.callback()
def _evaluate() -> None:
    """Measure how good what is made is."""


def _folder(what: str) -> Any:
    return typer.Option(metavar="FOLDER", help=what)


@evaluate.command()
def lipsync(
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")],
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CLIPS]...", help="Videos of people speaking, or folders of them."),
    ] = None,
    tracks: Annotated[
        Path | None,
        _folder("Where measured clips are kept; beside the output by default. Without CLIPS, all."),
    ] = None,
    phones: Annotated[Path | None, _folder("Phone times under the names of the tracks.")] = None,
    synthetic: Annotated[Path | None, _folder("Synthetic speech with phone times.")] = None,
    facegood: Annotated[Path | None, _folder("FACEGOOD recordings.")] = None,
    music: Annotated[Path | None, _folder("Music without voice, to stay calm at.")] = None,
    weights: Annotated[Path | None, _folder("The model, instead of the one that ships.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Measure those too.")] = False,
    headaudio: Annotated[Path, _folder("With run.mjs, after npm ci.")] = Path(
        "benchmarks/headaudio"
    ),
    each: Annotated[int, typer.Option(min=1, help="Clips of each person, at most.")] = 60,
    plots: Annotated[Path | None, _folder("Write a plot of each clip and an overview.")] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Compare the motion made from sound with the motion that was filmed with it."""
    from avatar.evaluation.lipsync_study import Study

    if not clips and tracks is None and facegood is None and synthetic is None:
        raise InputError("nothing to measure: give CLIPS, --tracks, --facegood or --synthetic")
    study = Study(
        clips=tuple(clips or ()), tracks=tracks or output.with_suffix(".tracks"), phones=phones,
        synthetic=synthetic, facegood=facegood, music=music, weights=weights,
        headaudio=headaudio if baselines else None, baselines=baselines, each=each,
    )  # fmt: skip
    report = study.run()
    _write(output, report)
    if plots is not None:
        report.plot(plots)
    print(json.dumps(report.figures) if as_json else report.table())


def _write(output: Path, report: Report) -> None:
    text = json.dumps(report.figures, indent=1, allow_nan=False) + "\n"
    partial = output.with_name(output.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(output)
    except OSError as reason:
        raise OutputError(f"{output}: could not be written ({reason.strerror})") from None
