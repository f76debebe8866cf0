"""Lip sync in numbers: the motion made from sound, beside the motion that was filmed with it.

``evaluate_model`` runs the audio-to-face model as the product does, a ``MotionStream`` fed 40 ms at
a time and the retargeting onto one photo of the speaker, and gives a dictionary that is also the
JSON of ``avatar evaluate lipsync``:

- ``clips``: by name ``identity``, ``group``, ``never_trained_on``, ``seconds``, ``offset_seconds``
  (how much later the pictures are than the sound, told by a linear ridge that is not the model;
  null where it cannot tell; it flatters the ridge a little) and ``systems``, by name the figures
  of one clip;
- ``groups``: the same over ``GRID``, ``free speech``, ``curves`` and ``synthetic``, each apart for
  people ``never trained on`` and ``trained on``, and over ``all, never trained on``;
- ``operating_point``: the closure threshold of each system, apart for filmed people and for
  voices without a picture, chosen on those of them that were trained on: where most m, b, p are met
  at a precision of at least 0.7, or where F1 is highest if it never is that precise; and what it
  was chosen on;
- ``not_measured``: by name why.

Systems are ``model``, the baselines of ``lipsync_baselines``, and ``filmed``: the lips of the
person, with the offset taken out, as the ceiling of closures (``filmed_as_is``: with it).

Figures of a system (``null``: does not apply):

- ``opening``, ``width``: Pearson's r with the filmed lips over the whole clip, pauses included;
  ``as_filmed`` at lag 0, ``corrected`` with the clip's ``offset_seconds`` taken out. Of a group
  ``median`` and ``worst_decile`` over clips;
- ``distance``: mean distance of ``inner_lips`` and of all lip points (``mouth``) in the head's own
  frame, as shares of face height (of a group the median), and ``still_*``: of a face that rests;
- ``lag_seconds``: at which the mean correlation of opening over the clips is highest, positive
  where the system is late; ``as_filmed`` and ``corrected``;
- ``closures``: see ``count_closures``: how many m, b, p (``sounds``) lie inside speech, ``recall``
  of these (``…_with_edges``: of all) and ``precision`` at the operating point, how often ``chance``
  alone would be right (the share of speech within reach of m, b, p), both by threshold, and
  ``offset_seconds``, the median of how much later than the sound's middle the lips come closest;
- ``jitter``: third derivative of the lip points, root mean square, over that of the filmed lips;
- ``blinks_per_minute``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from avatar.evaluation.lipsync_baselines import SPEAKS_NO_WIDTH, Performer
from avatar.evaluation.lipsync_measures import LAGS, THRESHOLDS, Closures, best_lag
from avatar.evaluation.lipsync_recordings import NEVER_TRAINED_ON, Recording
from avatar.evaluation.lipsync_scores import Score, filmed_score, perform, score
from avatar.motion import AudioToFace
from avatar.types import FloatArray

DEFAULT_THRESHOLD = 0.2
"""Of closures, where there are no people trained on to choose it by."""
_PRECISE = 0.7
"""Fewer true ones among the closures, and a mouth is seen to shut without a cause."""
_FILMED_OR_NOT = ("filmed", "synthetic")
_KINDS = ("as_filmed", "corrected")
_DIGITS = 4

Scores = dict[str, dict[str, Score]]
"""By system, by name of the recording."""
Points = Mapping[bool, tuple[Mapping[str, float], str]]
"""Of filmed recordings and of the others: the threshold of each system, and what chose it."""


def evaluate_model(
    model: AudioToFace,
    recordings: Sequence[Recording],
    *,
    baselines: Mapping[str, Performer] | None = None,
    never_trained_on: Collection[str] = NEVER_TRAINED_ON,
) -> dict[str, Any]:
    """The report described above, for ``model`` and ``baselines``.

    Args:
        model: what is measured.
        recordings: of ``read_tracks``, ``read_curves`` or ``read_synthetic``; their offsets are
            filled in by ``with_offsets``.
        baselines: by name; see ``lipsync_baselines.baselines``.
        never_trained_on: identities that no system was fitted on.
    """
    systems: dict[str, Performer] = {"model": partial(perform, model), **(baselines or {})}
    return evaluate(systems, recordings, never_trained_on=never_trained_on)


def evaluate(
    systems: Mapping[str, Performer],
    recordings: Sequence[Recording],
    *,
    never_trained_on: Collection[str] = NEVER_TRAINED_ON,
) -> dict[str, Any]:
    """The report for any ways from sound to lips."""
    scores: Scores = {
        name: {
            one.name: score(performer(one), one, width=name not in SPEAKS_NO_WIDTH)
            for one in recordings
        }
        for name, performer in systems.items()
    }
    for name, corrected in (("filmed", True), ("filmed_as_is", False)):
        scores[name] = {
            one.name: filmed_score(one.filmed, one, corrected=corrected)
            for one in recordings
            if one.filmed is not None
        }
    apart = {one.name: one.identity in never_trained_on for one in recordings}
    points = {filmed: operating_points(scores, apart, filmed=filmed) for filmed in (True, False)}
    return {
        "format": 2,
        "operating_point": {
            kind: {"threshold": own, "chosen_on": chosen_on}
            for kind, (own, chosen_on) in zip(_FILMED_OR_NOT, points.values(), strict=True)
        },
        "groups": {
            name: _group(members, scores, points)
            for name, members in _groups(recordings, apart).items()
        },
        "clips": {
            one.name: {
                "identity": one.identity,
                "group": one.group,
                "never_trained_on": apart[one.name],
                "seconds": round(one.seconds, 3),
                "offset_seconds": _rounded(one.offset_seconds),
                "systems": {
                    name: _figures([own[one.name]], _of(name, points), single=True)
                    for name, own in scores.items()
                    if one.name in own
                },
            }
            for one in recordings
        },
    }


def operating_points(
    scores: Scores, apart: Mapping[str, bool], *, filmed: bool
) -> tuple[dict[str, float], str]:
    """The closure threshold of each system, chosen on those trained on: on filmed people, or on
    voices without a picture.
    """
    points = {}
    chosen_on = "nobody: the default"
    for name, own in scores.items():
        total = Closures.none()
        for recording, one in own.items():
            if not apart[recording] and one.closures is not None and one.filmed == filmed:
                total += one.closures
        if total.wanted[0]:
            points[name] = float(THRESHOLDS[_best(total)])
            chosen_on = f"{'filmed people' if filmed else 'synthetic voices'} trained on"
        else:
            points[name] = DEFAULT_THRESHOLD
    return points, chosen_on


def _best(total: Closures) -> int:
    """Most recall among thresholds that are precise enough; the highest F1 where none is."""
    precise = total.precision >= _PRECISE
    return int(np.argmax(np.where(precise, total.recall, 0.0) if precise.any() else total.f1))


def _groups(
    recordings: Sequence[Recording], apart: Mapping[str, bool]
) -> dict[str, list[Recording]]:
    groups: dict[str, list[Recording]] = {}
    for one in recordings:
        trained = "never trained on" if apart[one.name] else "trained on"
        groups.setdefault(f"{one.group}, {trained}", []).append(one)
    everyone = [one for one in recordings if apart[one.name]]
    return dict(sorted(groups.items())) | ({"all, never trained on": everyone} if everyone else {})


def _group(members: Sequence[Recording], scores: Scores, points: Points) -> dict[str, Any]:
    offsets = [one.offset_seconds for one in members if one.offset_seconds is not None]
    return {
        "clips": len(members),
        "people": len({one.identity for one in members}),
        "seconds": round(sum(one.seconds for one in members), 1),
        "offsets_known": len(offsets),
        "offset_seconds_median": _rounded(float(np.median(offsets)) if offsets else None),
        "systems": {
            name: _figures([own[one.name] for one in members if one.name in own], _of(name, points))
            for name, own in scores.items()
            if any(one.name in own for one in members)
        },
    }


def _of(system: str, points: Points) -> dict[bool, float]:
    return {filmed: own[system] for filmed, (own, _) in points.items()}


def _figures(
    scores: Sequence[Score], thresholds: Mapping[bool, float], *, single: bool = False
) -> dict[str, Any]:
    """The figures of one system over one recording, or over a group of them."""

    def over_clips(values: list[float | None]) -> Any:
        known = [value for value in values if value is not None]
        if single or not known:
            return _rounded(known[0] if known else None)
        worst = float(np.percentile(known, 10))
        return {"median": _rounded(float(np.median(known))), "worst_decile": _rounded(worst)}

    def median(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return _rounded(float(np.median(known)) if known else None)

    figures: dict[str, Any] = {
        name: {kind: over_clips([getattr(one, name)[i] for one in scores])
               for i, kind in enumerate(_KINDS)}
        for name in ("opening", "width")
    }  # fmt: skip
    figures["distance"] = {
        f"{prefix}{part}": median([pair[i] if pair else None for pair in pairs])
        for prefix, pairs in (
            ("", [one.distance for one in scores]),
            ("still_", [one.still_distance for one in scores]),
        )
        for i, part in enumerate(("inner_lips", "mouth"))
    }
    figures["lag_seconds"] = _lags(scores)
    figures["jitter"] = median([one.jitter for one in scores])
    counted = [one for one in scores if one.blinks is not None]
    minutes = sum(one.seconds for one in counted) / 60
    total = sum(one.blinks or 0 for one in counted)
    figures["blinks_per_minute"] = round(total / minutes, 1) if counted else None
    figures["closures"] = _closures(scores, thresholds, curves=not single)
    return figures


def _lags(scores: Sequence[Score]) -> dict[str, float | None]:
    """Where the mean over clips of the correlation by lag is highest."""
    lags: dict[str, float | None] = {}
    for kind in _KINDS:
        curves = []
        for one in scores:
            offset = 0.0 if kind == "as_filmed" else one.offset_seconds
            if one.lags is not None and offset is not None:
                curves.append(np.interp(LAGS - offset, LAGS, one.lags))
        lags[kind] = _rounded(best_lag(np.mean(curves, axis=0))[0]) if curves else None
    return lags


def _closures(
    scores: Sequence[Score], thresholds: Mapping[bool, float], *, curves: bool
) -> dict[str, Any] | None:
    counted = [one for one in scores if one.closures is not None]
    used = sorted({thresholds[one.filmed] for one in counted})
    total = sum((one.closures for one in counted if one.closures), Closures.none())
    if not total.wanted[0]:
        return None
    at = sum(
        (one.closures.at(thresholds[one.filmed]) for one in counted if one.closures),
        Closures.none().at(used[0]),
    )
    offsets = [seconds for one in scores for seconds in one.closure_offsets]
    figures: dict[str, Any] = {
        "sounds": int(at.wanted[0]),
        "sounds_with_edges": int(at.wanted_all[0]),
        "events": int(at.events[0]),
        "threshold": used[0] if len(used) == 1 else used,
        "recall": _rounded(float(at.recall[0])),
        "recall_with_edges": _rounded(float(at.met_all[0] / max(at.wanted_all[0], 1))),
        "precision": _rounded(float(at.precision[0])),
        "chance": _rounded(total.chance / max(total.spoken, 1e-9)),
        "offset_seconds": _rounded(float(np.median(offsets)) if offsets else None),
    }
    if curves:
        figures["by_threshold"] = {
            "threshold": THRESHOLDS.tolist(),
            "recall": _listed(total.recall),
            "precision": _listed(total.precision),
        }
    return figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _listed(values: FloatArray) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
