"""The command line: one module for each command or group of commands.

An error of this package is one line on stderr and its own exit code (``avatar.errors``), never a
traceback. An interrupt ends with 130, a termination with 143, a lost terminal with 129; none leaves
a temporary file.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, TextIO

import typer

import avatar
from avatar.cli.advise import advise
from avatar.cli.bench import bench
from avatar.cli.doctor import doctor
from avatar.cli.evaluate import evaluate
from avatar.cli.mimic import mimic
from avatar.cli.motion import motion
from avatar.cli.personalize import personalize
from avatar.cli.serve import serve
from avatar.cli.speak import create, speak
from avatar.cli.train import train
from avatar.errors import AvatarError, OutputError

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

app = typer.Typer(
    name="avatar",
    help="One photo and any voice become a talking face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    speak, mimic, create, personalize, advise, motion, serve, bench, doctor
):  # fmt: skip
    app.command()(_command)
app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    for number in _SIGNALS:
        signal.signal(number, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        # A reader that has seen enough is no error.
        if not isinstance(error, BrokenPipeError):
            code = code or _unprinted(error)
        # Python would try again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit code."""
    try:
        with _plain_warnings():
            app(list(arguments), prog_name="avatar")
    except AvatarError as error:
        _say("error", str(error))
        return error.exit_code
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _unprinted(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


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


def _unprinted(error: OSError) -> int:
    """Files are never written here; what is left is the standard output."""
    _say("error", f"the result could not be printed: {error.strerror}")
    return OutputError.exit_code


def _stop(number: int, frame: FrameType | None) -> None:
    for again in _SIGNALS:
        signal.signal(again, lambda number, frame: None)
    _say("error", "interrupted; nothing was written")
    raise SystemExit(128 + number)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(avatar.__version__)
        raise typer.Exit
