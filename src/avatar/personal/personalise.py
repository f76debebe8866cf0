"""From a person's pictures to what they change in the shipped decoder of the mouth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatar.engine import Engine
from avatar.generator import Deltas
from avatar.generator.parts import MOUTH
from avatar.motion import Retargeter
from avatar.personal.faces import PersonFaces
from avatar.personal.learn import Learner, Progress, Settings, learn
from avatar.personal.plan import held_out_and_pairs
from avatar.types import ARKIT_NAMES, Face, ImageArray, Landmarks

DEFAULT_STEPS = Settings.steps

_SHOWS_TEETH = 0.08
"""Height over width of the inner lips from which one photo alone shows something of the mouth."""

_ALONE_STEPS = 40
"""Most steps from one photo: it soon knows all that one shows."""

_MOVES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.05}, {"jawOpen": 0.35}, {"jawOpen": 0.6}, {"mouthPucker": 0.6},
    {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}, {"mouthFunnel": 0.5, "jawOpen": 0.2},
)  # fmt: skip
"""How the rig moves an only photo; the last two are held out."""

_CLOSED = (
    "the only photo shows a closed mouth, which says nothing of teeth and tongue, so nothing is "
    "learnt; give photos of the person speaking or smiling with teeth, or a short video"
)
_NO_BETTER = (
    "what was learnt is not clearly better on the picture held out (score {before:.4f} before, "
    "{after:.4f} at best), so nothing is kept; give more pictures with the mouth open, sharp and "
    "lit like the first"
)
_ALONE = (
    "from one photo only the mouth as it is there can be learnt; what it does not show stays "
    "invented: give photos with the mouth open and closed, or a short video"
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it.

    Attributes:
        deltas: what the person changes; None where nothing is kept.
        note: what the user should know, such as why; empty if nothing.
    """

    deltas: Deltas | None
    note: str = ""


def personalise(
    engine: Engine,
    photos: Sequence[tuple[ImageArray, Face]],
    more: PersonFaces | None,
    *,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Learn a person's mouth, or say why not.

    Args:
        engine: the models.
        photos: those of the avatar, the animated one first.
        more: further pictures of the person.
        steps: at most.
        seed: the same pictures and seed give the same result.
        progress: told the steps done and to do; it may end before.
    """
    faces = PersonFaces.of(photos)
    if more is not None:
        faces = faces.with_more(more)
    pictures, settings = len(faces.frames), Settings(steps=steps)
    if pictures > 1:
        faces = faces.in_the_light_of_the_first()
        held_out, pairs = held_out_and_pairs(faces)
    elif float(faces.openness()[0]) < _SHOWS_TEETH:
        return Outcome(None, _CLOSED)
    else:
        faces = _moved(engine, photos[0], faces)
        settings = replace(settings, steps=min(steps, _ALONE_STEPS), own=0.0)
        *learnt_from, last_but_one, last = range(1, len(faces.frames))
        held_out, pairs = [(last_but_one, 0), (last, 0)], [(k, 0) for k in learnt_from]
    style = engine.prepare(photos).styles[MOUTH.name]
    learner = Learner(
        engine.generator.networks[MOUTH.name], faces, style.cpu().clone(),
        pairs=pairs, held_out=held_out, pictures=pictures, settings=settings, seed=seed,
    )  # fmt: skip
    learnt = learn(learner, progress)
    if not learnt.better:
        return Outcome(None, _NO_BETTER.format(before=learnt.before, after=learnt.after))
    changes = {f"{MOUTH.name}.{name}": value for name, value in learnt.changes.items()}
    deltas = Deltas(
        changes, engine.generator.weights_sha256, pictures=pictures, steps=learnt.steps,
        score_before=learnt.before, score_after=learnt.after,
    )  # fmt: skip
    return Outcome(deltas, _ALONE if pictures == 1 else "")


def _moved(engine: Engine, photo: tuple[ImageArray, Face], own: PersonFaces) -> PersonFaces:
    """An only photo, and pictures of it with the mouth moved, from which to find back to it."""
    _, face = photo
    retargeter = Retargeter(engine.rig, face.landmarks, face.expression)
    portrait = engine.prepare([photo])
    upright, still = np.array([1, 0, 0, 0], np.float32), np.zeros(3, np.float32)
    drawn = []
    for move in _MOVES:
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for name, weight in move.items():
            expression[ARKIT_NAMES.index(name)] = weight
        points = retargeter.landmarks(expression, upright, still, np.zeros(2, np.float32))
        picture = engine.generator.render(portrait, points)
        drawn.append((picture, Face(Landmarks(points), expression)))
    return own.with_more(PersonFaces.of(drawn))
