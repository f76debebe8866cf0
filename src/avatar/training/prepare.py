"""Folders of talking clips → training shards: ``avatar train prepare FOLDER… --out SHARDS``.

Three passes, each of which may be stopped at any point and run again:

1. every clip is measured once, in parallel (``measure``), into ``SHARDS/measured/``;
2. each is cut where the scene changes, each piece is judged (``clip_quality``), and where its sound
   fits its lips is found from all clips together (``lip_offset``);
3. the shards are written: ``SHARDS/<name>.npz``, with ``.2``, ``.3`` … for further pieces.

A shard has what ``measure`` writes of those frames, and:

- ``audio``: only of this face's own speech; empty where it has no voice or fits the lips nowhere.
  ``audio_start`` has the offset in it: the picture of ``pts`` belongs to ``pts - audio_start``;
- ``sync_offset_seconds``: by which the picture ran ahead of the sound and which was taken out; 0
  where there was no sure one. ``sync_confidence``, ``sync`` (``sure``, ``weak``, ``none``,
  ``unknown``): see ``lip_offset``;
- ``voice_share`` of the sound, ``quality`` (JSON of ``clip_quality.Figures``), ``frames``: the
  half-open range in the clip.

The passes after the first follow from what was measured alone, so a run that was killed and begun
again ends with the same shards. Shards of clips that are no longer kept are removed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import InputError
from avatar.training.clip_quality import DEFAULT_LIMITS, Figures, Limits, figures, pieces
from avatar.training.clip_sources import ClipSource, find_clips
from avatar.training.lip_offset import LipOffset, LipTrack, lip_offsets
from avatar.training.measure import Measured, measure, write_atomically
from avatar.training.prepare_report import Piece, Report
from avatar.training.voice_activity import WINDOW_SECONDS
from avatar.types import FloatArray

MEASURED = "measured"

_VOICE = 0.5
_AROUND_SECONDS = 0.5
_SILENCE = 1e-3
_PER_FRAME = (
    "landmarks", "expression", "blendshapes", "matrix", "pts", "sharpness", "rivals",
)  # fmt: skip
Tell = Callable[[Measured, int, int], None]


def prepare(
    places: Iterable[Path],
    out: Path,
    *,
    jobs: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    tell: Tell = lambda one, done, total: None,
) -> Report:
    """Turn clips into shards; gives the report, which is also written as ``out/report.json``.

    Args:
        places: videos, and folders of videos.
        out: folder of the shards.
        jobs: processes that measure.
        limits: what a piece must be within to be kept.
        tell: called with each clip as it is measured, how many are, and how many there are.

    Raises:
        InputError: no clips there, a wrong list of clips, or two clips of the same name.
        DependencyError: a package of the ``train`` extra is missing.
    """
    sources = find_clips(places)
    tracks = out / MEASURED
    unread = []
    for done, one in enumerate(measure(sources, tracks, jobs=jobs, limits=limits), 1):
        tell(one, done, len(sources))
        if one.dropped:
            # The report goes from hand to hand: no places of this machine in it.
            fault = f"not usable: {one.dropped.replace(str(one.source.path), one.source.path.name)}"
            unread.append(Piece(one.source.name, one.source.identity, faults=[fault]))
    lost = {piece.name for piece in unread}
    candidates = [
        candidate
        for source in sources
        if source.name not in lost
        for candidate in _candidates(source, tracks / f"{source.name}.npz", limits)
    ]
    _synchronise(candidates)
    done_pieces = [_write(candidate, tracks, out) for candidate in candidates]
    report = Report(sorted(unread + done_pieces, key=lambda piece: piece.name))
    kept = {f"{piece.name}.npz" for piece in report.kept}
    for stale in out.glob("*.npz"):
        if stale.name not in kept:
            stale.unlink()
    report.save(out / "report.json")
    return report


def write_faces(report: Report, shards: Path, held_out: set[str], out: Path) -> None:
    """The generator's training folder, of the kept pieces in which no frame has lost the face."""
    from avatar.training.faces import write_folder

    whole = [piece for piece in report.kept if piece.figures and not piece.figures.lost_share]
    write_folder([(piece.path, shards / f"{piece.name}.npz") for piece in whole], held_out, out)


@dataclass(eq=False)
class _Candidate:
    """A piece of a clip on its way to be a shard.

    Attributes:
        name: of the shard.
        source: the clip; ``first``, ``last``: the frames of it.
        figures: of the picture; ``faults``: why it is not kept.
        voice_share: of the sound; ``mute``: why the sound is left out, empty if it is not.
        lips: to find the offset from; None where there is no voice.
        offset: the one found.
    """

    name: str
    source: ClipSource
    first: int
    last: int
    figures: Figures
    faults: list[str]
    voice_share: float
    mute: str
    lips: LipTrack | None
    offset: LipOffset


def _candidates(source: ClipSource, path: Path, limits: Limits) -> list[_Candidate]:
    with np.load(path) as file:
        track = {key: file[key] for key in file.files}
    return [
        _candidate(source, track, number, ends, limits)
        for number, ends in enumerate(pieces(track), 1)
    ]


def _candidate(
    source: ClipSource, track: dict[str, Any], number: int, ends: tuple[int, int], limits: Limits
) -> _Candidate:
    first, last = ends
    name = source.name if number == 1 else f"{source.name}.{number}"
    figured = figures(track, first, last)
    faults = figured.faults(limits)
    audio, start, voice_share = _sound(track, first, last)
    mute, lips = "", None
    if len(audio) == 0:
        mute = "no sound"
    elif np.abs(audio).max() < _SILENCE:
        mute = "silent"
    elif voice_share < limits.least_voice_share:
        mute = f"too little voice: {voice_share:.0%} of the sound"
    elif not faults:
        part = slice(first, last)
        times = (track["pts"][part] - start).astype(np.float32)
        lips = LipTrack.measured(source.identity, audio, times, track["landmarks"][part])
    return _Candidate(
        name, source, first, last, figured, faults, voice_share, mute, lips, LipOffset()
    )


def _sound(track: dict[str, Any], first: int, last: int) -> tuple[FloatArray, float, float]:
    """Sound of frames ``[first, last)`` and half a second around them, when it begins, and the
    share of it with a voice; all of the sound where these are all frames."""
    audio, start, voice = track["audio"], float(track["audio_start"]), track["voice"]
    pts = track["pts"]
    if last - first < len(pts):
        begin = int((pts[first] - _AROUND_SECONDS - start) / WINDOW_SECONDS)
        end = math.ceil((pts[last - 1] + _AROUND_SECONDS - start) / WINDOW_SECONDS)
        begin, end = (min(max(place, 0), len(voice)) for place in (begin, end))
        window = round(WINDOW_SECONDS * SAMPLE_RATE)
        audio, voice = audio[begin * window : end * window], voice[begin:end]
        start += begin * WINDOW_SECONDS
    share = float((voice > _VOICE).mean()) if len(voice) else 0.0
    return audio, start, round(share, 4)


def _synchronise(candidates: list[_Candidate]) -> None:
    """Find the offsets of all pieces with a voice; a sound that fits no lips is left out."""
    heard = [candidate for candidate in candidates if candidate.lips is not None]
    offsets = lip_offsets([one.lips for one in heard if one.lips is not None])
    for candidate, offset in zip(heard, offsets, strict=True):
        candidate.offset = offset
        candidate.lips = None
        if offset.verdict == "none":
            candidate.mute = "the sound fits the lips at no offset"


def _write(one: _Candidate, tracks: Path, out: Path) -> Piece:
    """The shard of a piece without faults; what the report says of it."""
    corrected = one.offset.seconds if one.offset.verdict == "sure" and not one.mute else 0.0
    if not one.faults:
        shard = _shard(one, tracks / f"{one.source.name}.npz", corrected)
        write_atomically(out / f"{one.name}.npz", shard)
    return Piece(
        name=one.name, identity=one.source.identity, path=one.source.path,
        frames=(one.first, one.last), figures=one.figures, faults=one.faults,
        voice_share=one.voice_share, mute=one.mute, offset=one.offset, corrected=corrected,
    )  # fmt: skip


def _shard(one: _Candidate, path: Path, corrected: float) -> dict[str, Any]:
    with np.load(path) as file:
        track = {key: file[key] for key in file.files}
    if len(track["pts"]) < one.last:
        raise InputError(f"{path} was changed while it was read; run the command again")
    audio, start, _ = _sound(track, one.first, one.last)
    return {
        **{key: track[key][one.first : one.last] for key in _PER_FRAME},
        "audio": np.zeros(0, np.float32) if one.mute else audio,
        "audio_start": np.float32(start - corrected),
        "fps": track["fps"], "size": track["size"],
        "identity": one.source.identity, "group": one.source.group,
        "frames": np.array([one.first, one.last]),
        "sync": one.offset.verdict, "sync_offset_seconds": np.float32(corrected),
        "sync_confidence": np.float32(one.offset.confidence),
        "voice_share": np.float32(one.voice_share), "quality": json.dumps(asdict(one.figures)),
    }  # fmt: skip
