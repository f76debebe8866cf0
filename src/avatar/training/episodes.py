"""Batches for the generator: which frames of which people.

The episodes themselves are cut by ``avatar.generator.episodes``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.generator.augmentation import Augmentation
from avatar.generator.episodes import Episode, cut
from avatar.generator.parts import Part
from avatar.training.faces import FaceClips


class EpisodeSampler:
    """Chooses frames: people balanced within the well filmed, the coarsely filmed and the made-up
    ones; half the targets wide open, half the sources closed.
    """

    def __init__(
        self,
        clips: FaceClips,
        part: Part,
        *,
        low_resolution_share: float = 0.2,
        made_share: float = 0.2,
        seed: int | tuple[int, ...] = 0,
    ) -> None:
        self.clips, self.part = clips, part
        self.random = np.random.default_rng(seed)
        mouth = part.name == "mouth"
        self._far = (2 / 3, 1.0) if mouth else (0.0, 1 / 6)
        self._near = (0.0, 1 / 3) if mouth else (0.5, 1.0)
        openness = clips.openness(part.name)
        self.order = [
            start + np.argsort(openness[start:end])
            for start, end in zip(clips.starts, clips.starts[1:], strict=False)
        ]
        self.filmed = [order[clips.filmed[order]] for order in self.order]
        coarse = np.array([name.startswith("grid") for name in clips.names])
        made = np.array([name.startswith("synthetic") for name in clips.names])
        weights = np.zeros(len(clips.names))
        rest = 1 - low_resolution_share - made_share
        for mask, portion in (
            (coarse, low_resolution_share), (made, made_share), (~coarse & ~made, rest)
        ):  # fmt: skip
            people = np.unique(clips.people[mask])
            for person in people:
                own = mask & (clips.people == person)
                weights[own] = portion / len(people) / own.sum()
        self.weights = weights / weights.sum()

    def _pick(self, order: NDArray[np.int64], span: tuple[float, float]) -> int:
        """One of the frames of ``order`` from this to that share of it."""
        low = int(span[0] * len(order))
        return int(order[self.random.integers(low, max(low + 1, int(span[1] * len(order))))])

    def choose(
        self, batch: int, sources: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Returns target frames ``[B]``, source frames ``[B, K]`` and clips ``[B]``."""
        clips = self.random.choice(len(self.weights), batch, p=self.weights)
        targets, chosen = np.zeros(batch, np.int64), np.zeros((batch, sources), np.int64)
        far_target, far_source = (0.5, 0.5) if self.part.name == "mouth" else (0.35, 0.5)
        for i, clip in enumerate(clips):
            wide = self.random.random() < far_target
            targets[i] = self._pick(self.filmed[clip], self._far if wide else (0.0, 1.0))
            for k in range(sources):
                narrow = self.random.random() < far_source
                chosen[i, k] = self._pick(self.order[clip], self._near if narrow else (0.0, 1.0))
        return targets, chosen, clips

    def draw(
        self, batch: int, sources: int, *, augment: bool = True, neighbours: bool = False
    ) -> Episode:
        """A random batch; with ``neighbours`` each target is followed by the next moment's."""
        targets, chosen, clips = self.choose(batch // 2 if neighbours else batch, sources)
        augmentation = Augmentation()
        if neighbours:
            nexts = [self._next(t, c) for t, c in zip(targets, clips, strict=True)]
            targets = np.stack([targets, nexts], 1).ravel()
            chosen, clips = chosen.repeat(2, 0), clips.repeat(2)
            augmentation = Augmentation(alike=2)
        person = torch.from_numpy(self.clips.people[clips])
        random = self.random if augment else None
        return cut(self.clips, self.part, targets, chosen, person, random, augmentation)

    def _next(self, target: int, clip: int) -> int:
        """The frame after ``target``, or before it at the end; itself where neither is filmed."""
        first, last = self.clips.starts[clip], self.clips.starts[clip + 1]
        beside = target + 1 if target + 1 < last else target - 1
        return int(beside if beside >= first and self.clips.filmed[beside] else target)
