"""One whole run of the lip-sync measures: from files to the report, its table and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avatar.errors import InputError
from avatar.evaluation import lipsync_plots
from avatar.evaluation.lipsync import evaluate
from avatar.evaluation.lipsync_baselines import (
    SYMMETRIC_SECONDS,
    Performer,
    Ridge,
    baselines,
)
from avatar.evaluation.lipsync_calm import music_files, speed, stillness
from avatar.evaluation.lipsync_recordings import (
    NEVER_TRAINED_ON,
    Recording,
    read_curves,
    read_synthetic,
    read_tracks,
)
from avatar.evaluation.lipsync_scores import perform, with_offsets
from avatar.motion import AudioToFace
from avatar.training.clip_sources import find_clips
from avatar.training.measure import measure
from avatar.weights import load_weights

_SYNTHETIC_AT_MOST = 100


@dataclass(frozen=True, eq=False)
class Report:
    """The figures, and what they were made from.

    Attributes:
        figures: the JSON described in ``avatar.evaluation.lipsync``, with ``weights_sha256``,
            ``offsets_told_by``, ``stillness``, ``speed`` and ``not_measured`` added.
        recordings: as measured.
        model: by recording, the lips that the model gives.
    """

    figures: dict[str, Any]
    recordings: Sequence[Recording]
    model: Performer

    def plot(self, folder: Path) -> None:
        """Write ``overview.png`` and one plot of each clip.

        Raises:
            OutputError: the folder cannot be written to.
            DependencyError: matplotlib is not installed.
        """
        lipsync_plots.write(folder, self.figures, self.recordings, self.model)

    def table(self) -> str:
        """The main figures as text, a line for each system and group."""
        lines = []
        for name, group in self.figures["groups"].items():
            lines.append(f"{name}: {group['clips']} clips, {group['people']} people")
            lines += [_line(system, own) for system, own in group["systems"].items()]
        speed_here = self.figures["speed"]
        lines.append(
            f"{speed_here['motion_times_real_time_on_one_core']} × real time on one core of "
            f"{speed_here['processor']}"
        )
        worst = {name: row for name, row in self.figures["stillness"].items() if "highest" in row}
        calm = ", ".join(f"{name} {row['highest']}" for name, row in worst.items())
        lines.append(f"highest opening over face height: {calm}")
        return "\n".join(lines)


def _line(system: str, own: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        if isinstance(value, dict):
            value = value["median"]
        return "    –" if value is None else f"{value:5.2f}"

    lag = own["lag_seconds"]
    cells = [
        f"opening r {shown(own['opening']['as_filmed'])} ({shown(own['opening']['corrected'])})",
        f"width r {shown(own['width']['as_filmed'])} ({shown(own['width']['corrected'])})",
        f"lag {shown(lag['as_filmed'])} ({shown(lag['corrected'])}) s",
    ]
    if own["closures"] is not None:
        found = own["closures"]
        cells.append(f"m/b/p recall {shown(found['recall'])} precision {shown(found['precision'])}")
    return f"  {system:16s} " + "  ".join(cells)


@dataclass(frozen=True)
class Study:
    """What to measure.

    Attributes:
        clips: videos or folders of videos; without any, all tracks of ``tracks``.
        tracks: folder of measured clips; those of ``clips`` are added to it.
        phones: folder of phone times.
        synthetic, facegood: folders of speech without pictures, and of measured curves; of both,
            and apart of voices never trained on, at most 100 recordings.
        music: folder of music without voice.
        weights: folder of the model; the shipped one by default.
        baselines: measure them too.
        headaudio: folder of ``run.mjs`` with the package installed.
        each: recordings of each person, at most.
    """

    tracks: Path
    clips: tuple[Path, ...] = ()
    phones: Path | None = None
    synthetic: Path | None = None
    facegood: Path | None = None
    music: Path | None = None
    weights: Path | None = None
    baselines: bool = False
    headaudio: Path | None = None
    each: int = 60
    _refused: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def run(self) -> Report:
        """Read, measure and report.

        Raises:
            InputError: nothing there can be measured.
            WeightsError: the model cannot be read.
        """
        model = AudioToFace.load(self.weights)
        config = load_weights("audio_to_face", folder=self.weights)[1]
        apart = frozenset(config.get("never_trained_on", NEVER_TRAINED_ON))
        recordings = self._recordings(apart)
        if not recordings:
            why = "; ".join(self._refused.values())
            raise InputError(f"nothing there can be measured: {why or 'no tracks'}")
        learned_from = self._learned_from(recordings, apart)
        told_by = "nobody: there are no filmed people to fit a ridge on"
        if learned_from:
            told_by = "ridge_symmetric"
            recordings = with_offsets(recordings, Ridge.fit(learned_from, SYMMETRIC_SECONDS))
        systems: dict[str, Performer] = {"model": partial(perform, model)}
        if self.baselines:
            others, missing = baselines(learned_from, self.headaudio)
            systems |= others
            self._refused.update(missing)
        figures = {
            "command": self._command(),
            "weights_sha256": config["sha256"],
            "never_trained_on": sorted(apart),
            "offsets_told_by": told_by,
            **evaluate(systems, recordings, never_trained_on=apart),
            "stillness": stillness(model, music_files(self.music) if self.music else ()),
            "speed": speed(model, np.concatenate([one.audio for one in recordings[:10]])),
            "not_measured": dict(sorted(self._refused.items())),
        }
        return Report(figures, recordings, systems["model"])

    def _command(self) -> str:
        """The command line, folders by their last name."""
        words = ["avatar evaluate lipsync", *(path.name for path in self.clips)]
        for name in ("tracks", "phones", "synthetic", "facegood", "music", "weights"):
            path = getattr(self, name)
            words += [f"--{name} {path.name}"] if path is not None else []
        words += ["--baselines"] if self.baselines else []
        return " ".join([*words, f"--each {self.each}", "-o OUT"])

    def _recordings(self, apart: frozenset[str]) -> list[Recording]:
        recordings = self._read(self._measured() if self.clips else self._ready())
        for folder, read in ((self.facegood, read_curves), (self.synthetic, read_synthetic)):
            if folder is not None:
                paths = sorted(folder.glob("*.npz"))
                if not paths:
                    raise InputError(f"{folder} holds no npz files")
                unheard = [path for path in paths if _identity(path) in apart]
                heard = [path for path in paths if path not in set(unheard)]
                recordings += [read(path) for path in (*_some(heard), *_some(unheard))]
        return recordings

    def _measured(self) -> list[Path]:
        """The tracks of the clips named."""
        paths = []
        for one in measure(find_clips(self.clips), self.tracks):
            if one.dropped:
                self._refused[one.source.name] = one.dropped
            else:
                paths.append(self.tracks / f"{one.source.name}.npz")
        return sorted(paths)

    def _ready(self) -> list[Path]:
        paths = sorted(self.tracks.glob("*.npz")) if self.tracks.is_dir() else []
        if not paths and self.facegood is None and self.synthetic is None:
            raise InputError(f"{self.tracks} holds no tracks; run avatar.training.measure first")
        return paths

    def _read(self, paths: Sequence[Path]) -> list[Recording]:
        recordings, refused = read_tracks(_spread(paths, self.each), self.phones)
        self._refused.update(refused)
        return recordings

    def _learned_from(
        self, recordings: Sequence[Recording], apart: frozenset[str]
    ) -> list[Recording]:
        """Filmed people that may be fitted: of the recordings, or of the other tracks there."""
        filmed = [one for one in recordings if one.group != "curves" and one.filmed is not None]
        known = {one.name for one in filmed}
        if self.clips:
            others = [path for path in self.tracks.glob("*.npz") if path.stem not in known]
            filmed += read_tracks(_spread(sorted(others), self.each))[0]
        return [one for one in filmed if one.identity not in apart]


def _some(paths: Sequence[Path]) -> Sequence[Path]:
    places = np.linspace(0, len(paths) - 1, min(len(paths), _SYNTHETIC_AT_MOST))
    return [paths[round(place)] for place in places]


def _spread(paths: Sequence[Path], each: int) -> list[Path]:
    """At most ``each`` tracks of each person, evenly spread over theirs."""
    people: dict[str, list[Path]] = {}
    for path in paths:
        people.setdefault(_identity(path), []).append(path)
    return sorted(
        own[i]
        for own in people.values()
        for i in sorted({round(x) for x in np.linspace(0, len(own) - 1, min(each, len(own)))})
    )


def _identity(path: Path) -> str:
    """Who is in it; its own name where that cannot be read, which ``read_track`` explains."""
    try:
        with np.load(path) as track:
            return str(track["identity"])
    except (OSError, ValueError, KeyError):
        return path.stem
