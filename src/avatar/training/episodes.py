"""Batches for the generator: which frames of which people.

The episodes themselves are cut by ``avatar.personal.episodes``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.generator.parts import Part
from avatar.personal.episodes import Episode, cut
from avatar.training.faces import FaceClips


class EpisodeSampler:
    """Chooses frames: people balanced, half the targets wide open, half the sources closed."""

    def __init__(
        self, clips: FaceClips, part: Part, *, low_resolution_share: float = 0.2, seed: int = 0
    ) -> None:
        self.clips, self.part = clips, part
        self.random = np.random.default_rng(seed)
        openness = clips.openness(part.name)
        self.order = [
            start + np.argsort(openness[start:end])
            for start, end in zip(clips.starts, clips.starts[1:], strict=False)
        ]
        coarse = np.array([name.startswith("grid") for name in clips.names])
        weights = np.zeros(len(clips.names))
        for mask, portion in ((coarse, low_resolution_share), (~coarse, 1 - low_resolution_share)):
            people = np.unique(clips.people[mask])
            for person in people:
                own = mask & (clips.people == person)
                weights[own] = portion / len(people) / own.sum()
        self.weights = weights / weights.sum()

    def choose(
        self, batch: int, sources: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Returns target frames ``[B]``, source frames ``[B, K]`` and clips ``[B]``."""
        clips = self.random.choice(len(self.weights), batch, p=self.weights)
        targets, chosen = np.zeros(batch, np.int64), np.zeros((batch, sources), np.int64)
        far_target, far_source = (0.5, 0.5) if self.part.name == "mouth" else (0.35, 0.5)
        for i, clip in enumerate(clips):
            order = self.order[clip]
            n = len(order)
            target_low, target_high = (
                (2 * n // 3, n) if self.part.name == "mouth" else (0, max(1, n // 6))
            )
            source_low, source_high = (0, n // 3) if self.part.name == "mouth" else (n // 2, n)
            wide = self.random.random() < far_target
            targets[i] = order[
                self.random.integers(target_low, target_high) if wide else self.random.integers(n)
            ]
            for k in range(sources):
                narrow = self.random.random() < far_source
                at = (
                    self.random.integers(source_low, source_high)
                    if narrow
                    else self.random.integers(n)
                )
                chosen[i, k] = order[at]
        return targets, chosen, clips

    def draw(self, batch: int, sources: int, *, augment: bool = True) -> Episode:
        """A random batch."""
        targets, chosen, clips = self.choose(batch, sources)
        person = torch.from_numpy(self.clips.people[clips])
        return cut(self.clips, self.part, targets, chosen, person, self.random if augment else None)
