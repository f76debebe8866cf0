"""Lip sync to look at: one plot of each recording, and the figures of all systems side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError, OutputError
from avatar.evaluation.lipsync_recordings import Mouth, Recording
from avatar.types import FloatArray

_LONGEST_SECONDS = 20.0


def write(
    folder: Path,
    figures: Mapping[str, Any],
    recordings: Sequence[Recording],
    model: Callable[[Recording], Mouth],
) -> None:
    """Write ``overview.png`` and ``<recording>.png`` into ``folder``.

    Raises:
        OutputError: the folder cannot be written to.
        DependencyError: matplotlib is not installed.
    """
    pages = {"overview": overview(figures)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in recordings:
            pages[one.name] = recording_plot(one, model(one), figures["clips"][one.name])
        for name, page in pages.items():
            page.savefig(folder / f"{name}.png", dpi=90)
    except OSError as reason:
        raise OutputError(f"{folder}: could not be written ({reason.strerror})") from None


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("the plots need matplotlib; pip install matplotlib") from None
    figure = Figure(figsize=(width, height))
    inch = 1 / height
    figure.subplots_adjust(left=0.12, right=0.98, top=1 - 0.4 * inch, bottom=0.6 * inch, hspace=0.4)
    return figure


def recording_plot(one: Recording, made: Mouth, figures: Mapping[str, Any]) -> Any:
    """The waveform, m/b/p in it, and below it the opening and width as made and as filmed."""
    figure = _figure(12, 6)
    sound, opening, width = figure.subplots(3, 1, sharex=True)
    _waveform(sound, one.audio[: round(_LONGEST_SECONDS * SAMPLE_RATE)])
    sound.set_ylabel("sound")
    own = figures["systems"]["model"]
    offset = figures["offset_seconds"]
    told = "unknown" if offset is None else f"{1000 * offset:+.0f} ms"
    r = own["opening"]["as_filmed"]
    sound.set_title(
        f"{one.name} ({one.identity}, {'never ' if figures['never_trained_on'] else ''}trained on)"
        f": opening r = {'–' if r is None else format(r, '.2f')}, pictures late by {told}"
    )
    for page, name in ((opening, "opening"), (width, "width")):
        _lines(page, one, made, name)
        page.set_ylabel(f"{name} / face height")
    if one.phones is not None:
        for start, end in one.phones.bilabials():
            for page in (sound, opening):
                page.axvspan(start, end, color="tab:red", alpha=0.2, linewidth=0)
    opening.legend(loc="upper right", fontsize="small")  # "best" tries all points
    width.set_xlabel("seconds (m, b, p shaded)")
    width.set_xlim(0, min(one.seconds, _LONGEST_SECONDS))
    return figure


def _waveform(page: Any, samples: FloatArray) -> None:
    """The lowest and highest sample of each of 1200 stretches; drawing all would take seconds."""
    edges = np.linspace(0, len(samples), min(len(samples), 1200), endpoint=False).astype(int)
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    page.fill_between(edges / SAMPLE_RATE, low, high, color="0.4", linewidth=0)


def _lines(page: Any, one: Recording, made: Mouth, name: str) -> None:
    if one.filmed is not None:
        values: FloatArray = getattr(one.filmed, name)
        page.plot(one.filmed.times, values, color="0.2", marker=".", markersize=3, label="filmed")
    page.plot(made.times, getattr(made, name), color="tab:blue", label="made from sound")


def overview(figures: Mapping[str, Any]) -> Any:
    """By group and system: correlation, and recall and precision of closures by threshold."""
    groups = {
        name: group for name, group in figures["groups"].items() if not name.startswith("all")
    }
    page = _figure(13, 3.4 * len(groups))
    for row, (name, group) in zip(
        page.subplots(len(groups), 2, squeeze=False), groups.items(), strict=True
    ):
        _bars(row[0], group["systems"])
        row[0].set_title(f"{name}: {group['clips']} clips, {group['people']} people")
        _closure_curves(row[1], group["systems"])
    return page


def _bars(axes: Any, systems: Mapping[str, Any]) -> None:
    rows = [
        (name, figures["opening"]) for name, figures in systems.items()
        if figures["opening"]["as_filmed"] is not None
    ]  # fmt: skip
    for shift, kind in ((-0.2, "as_filmed"), (0.2, "corrected")):
        known = [(i, own[kind]) for i, (_, own) in enumerate(rows) if own[kind] is not None]
        places = [i + shift for i, _ in known]
        medians = [value["median"] for _, value in known]
        down = [max(value["median"] - value["worst_decile"], 0) for _, value in known]
        axes.barh(places, medians, 0.36, xerr=[down, np.zeros(len(down))], label=kind,
                  error_kw={"elinewidth": 0.8})  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlim(-0.2, 1)
    axes.set_xlabel("r of inner-lip opening: median, down to the worst decile")
    if rows:
        axes.legend(fontsize="x-small")


def _closure_curves(axes: Any, systems: Mapping[str, Any]) -> None:
    for name, figures in systems.items():
        found = figures["closures"]
        if found is not None:
            curve = found["by_threshold"]
            (line,) = axes.plot(curve["recall"], curve["precision"], linewidth=0.9, label=name)
            axes.plot(found["recall"], found["precision"], "o", color=line.get_color())
            axes.axhline(found["chance"], color="0.7", linewidth=0.5)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall of m, b, p (dots: operating points, line: chance)")
    axes.set_ylabel("precision")
    if axes.lines:
        axes.legend(fontsize="x-small")
