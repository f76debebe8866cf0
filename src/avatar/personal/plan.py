"""Which of a person's pictures are painted to learn, and which decide."""

from __future__ import annotations

from avatar.personal.faces import PersonFaces

Pairs = list[tuple[int, int]]
"""(source, target) indices."""


def held_out_and_pairs(faces: PersonFaces) -> tuple[Pairs, Pairs]:
    """The pairs that decide and those to learn from, of two or more pictures.

    What decides is a mouth that is open, but not the widest, which teaches most; of eight and more
    pictures another one, half open. It is painted from the photo that is animated, as in use.
    """
    openness = faces.openness()
    others = [k for k in openness.argsort(descending=True).tolist() if k != 0]
    if len(others) < 8:
        held = {others[min(1, len(others) - 1)]}
    else:
        held = {others[1], others[len(others) // 2]}
    targets = [k for k in range(len(openness)) if k not in held]
    pairs = [(source, target) for target in targets for source in range(len(openness))]
    return [(0, k) for k in sorted(held)], [p for p in pairs if p[0] != p[1] or p[0] == 0]
