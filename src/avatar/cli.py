"""The command line: ``avatar speak``, ``avatar create``, ``avatar doctor``.

An error of this package is one line on stderr and its own exit code (``avatar.errors``), never a
traceback. An interrupt ends with 130, a termination with 143; both leave no temporary file.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

import avatar
from avatar.errors import AvatarError, ConfigError

if TYPE_CHECKING:
    from avatar.avatar import Avatar

app = typer.Typer(
    name="avatar",
    help="One photo and any voice become a talking face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_FACE = typer.Option(help="Which face to take where there are several; 0 is the largest.")
_JSON = typer.Option("--json", help="Print the result as JSON.")


@app.command()
def speak(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO... AUDIO",
            help="Photos of one person, then the sound file. With --avatar, only the sound.",
        ),
    ],
    # Text, since a Path forgets the trailing slash that asks for pictures.
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The video file to write; FOLDER/ for numbered PNG files and the sound.",
        ),
    ],
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    size: Annotated[
        int | None, typer.Option(help="Longer side in pixels; the photo's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of blinks, glances and head motion.")] = 0,
    face: Annotated[int | None, _FACE] = None,
    saved: Annotated[
        Path | None, typer.Option("--avatar", help="An .avatar file, instead of photos.")
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a video of the person saying the sound."""
    photos, audio = inputs[:-1], inputs[-1]
    begun = time.perf_counter()
    person = _person(photos, face, saved)
    clip = person.speak(audio, fps=fps, size=size, seed=seed)
    with _progress(quiet=as_json) as progress:
        path = clip.save(output, progress=progress)
    seconds = time.perf_counter() - begun
    if as_json:
        result = {"output": str(path), **asdict(clip.info), "seconds_taken": round(seconds, 3)}
        print(json.dumps(result))
    else:
        info = clip.info
        made = f"{info.duration_seconds:.1f} s, {info.width}×{info.height} at {info.fps:g} fps"
        print(f"{path}: {made}, made in {seconds:.1f} s")


@app.command()
def create(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="One or more photos of a person.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .avatar file to write.")],
    face: Annotated[int | None, _FACE] = None,
    consent_by: Annotated[
        str | None,
        typer.Option(help="Who attests that the person agrees, or that no consent is needed."),
    ] = None,
    consent_note: Annotated[str, typer.Option(help="Anything that helps to check it.")] = "",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Keep a person in an .avatar file, ready to speak without looking for the face again."""
    from avatar.avatar import Avatar

    consent = {
        "attested": consent_by is not None,
        "attested_by": consent_by or "",
        "note": consent_note,
    }
    person = Avatar.from_images(photos, face=face, consent=consent)
    path = person.save(output)
    if as_json:
        print(json.dumps({"output": str(path), "photos": len(photos), "consent": consent}))
    else:
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB, {len(photos)} photo(s)")


@app.command()
def doctor(as_json: Annotated[bool, _JSON] = False) -> None:
    """Say what is installed, which kernels run, how fast, and what would make it faster."""
    from avatar.doctor import examine, show

    checks = examine()
    if as_json:
        print(json.dumps({"ok": all(c.ok for c in checks), "checks": [asdict(c) for c in checks]}))
    else:
        show(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit code."""
    try:
        with _plain_warnings():
            app(list(arguments), prog_name="avatar")
    except AvatarError as error:
        _say("error", str(error))
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _person(photos: list[Path], face: int | None, saved: Path | None) -> Avatar:
    from avatar.avatar import Avatar

    if saved is not None and photos:
        raise ConfigError("give either photos or --avatar, not both")
    if saved is not None:
        return Avatar.load(saved)
    if not photos:
        raise ConfigError("give a photo and a sound file: avatar speak PHOTO AUDIO -o OUT.mp4")
    return Avatar.from_images(photos, face=face)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr, only where a person sees it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "frames", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("frames", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings of this package as one line each; those of others, meant for programmers, not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        warnings.filterwarnings("always", category=RuntimeWarning)
        warnings.showwarning = _show_warning
        yield


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if Path(avatar.__file__).parent in Path(filename).parents:
        _say("warning", str(message))


def _say(kind: str, message: str) -> None:
    print(f"{kind}: {' '.join(message.split())}", file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    _say("error", "interrupted; nothing was written")
    raise SystemExit(128 + number)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(avatar.__version__)
        raise typer.Exit
