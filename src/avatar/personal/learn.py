"""The fine-tuning itself (Zakharov et al. 2019, section 3.3), of a person's own decoder.

Each step warps one of the person's pictures onto another, lets the decoder paint the rest, and
compares with the truth: pixels and their slopes, what the judge's layers see, and the judge's word.
The decoder's own weights stay; low-rank changes learn. A picture that no step paints decides when
to stop and whether to keep anything: the best moment by its score wins, and if no moment is clearly
better than the start, nothing is kept.

Where we deviate from the paper: the source is warped and only a residual is painted, as everywhere
here; the generator learns low-rank changes, which are small enough to save and too few to forget
how mouths look; the judge begins as the embedder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avatar.generator.augmentation import Augmentation
from avatar.generator.episodes import Episode, cut, sample_at
from avatar.generator.generator import fast_dtype
from avatar.generator.networks import Embedder, PartGenerator, channels_last
from avatar.generator.parts import MOUTH
from avatar.personal.faces import PersonFaces
from avatar.personal.judge import Judge, feature_matching, hinge_judge
from avatar.personal.lowrank import LearningDecoder

Progress = Callable[[int, int], None]

FEW = 6
"""Pictures below which one held-out picture says little of the others."""


def least_gain(pictures: int) -> float:
    """By how much the held-out score must fall, as a share of it, for anything to be kept."""
    return 0.12 if pictures < FEW else 0.02


@dataclass(frozen=True)
class Settings:
    """How a person is learnt.

    Attributes:
        steps: at most. batch: pictures a step. rate: of Adam; the judge's is ``judge_rate``.
        rank: of the changes.
        pixel, slope, matching, adversarial: weights of the losses.
        opening: extra weight of pixels inside the lips.
        own: share of the pictures painted from the photo that will be animated.
        bend: spread of stretch, shear and turn of the pictures.
        look_every: steps between two looks at the held-out picture.
        patience: looks without a better score after which it stops.
    """

    steps: int = 72
    batch: int = 3
    rate: float = 2e-3
    judge_rate: float = 2e-4
    rank: int = 16
    pixel: float = 10.0
    slope: float = 5.0
    matching: float = 5.0
    adversarial: float = 0.2
    opening: float = 4.0
    own: float = 0.7
    bend: float = 0.05
    look_every: int = 12
    patience: int = 3


@dataclass(frozen=True, eq=False)
class Learnt:
    """What came of it.

    Attributes:
        changes: float16, as ``LearningDecoder.changes``, at the best moment.
        before, after: score of the held-out pictures, lower is better.
        steps: taken until the best moment.
        pictures: of the person, in all.
    """

    changes: dict[str, Tensor]
    before: float
    after: float
    steps: int
    pictures: int

    @property
    def better(self) -> bool:
        """Whether the best moment is clearly better than the start."""
        return self.after < (1.0 - least_gain(self.pictures)) * self.before


class Learner:
    """One person's decoder while it learns.

    Args:
        network: the shipped networks of the mouth; stay as they are.
        faces: the person's; the first is the photo that is animated.
        style: ``[1, style]`` of the person, as prepared.
        pairs: (source, target) of the pictures that may be painted.
        held_out: the same of those that decide.
        pictures: how many there are of the person, those made from others not counted.
    """

    def __init__(
        self,
        network: PartGenerator,
        faces: PersonFaces,
        style: Tensor,
        *,
        pairs: list[tuple[int, int]],
        held_out: list[tuple[int, int]],
        pictures: int,
        settings: Settings,
        seed: int = 0,
    ) -> None:
        self.settings = settings
        self.pictures = pictures
        self._faces = faces
        self._random = np.random.default_rng(seed)
        self._embedder = network.embedder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = channels_last(LearningDecoder(network.decoder, style, settings.rank))
        self._judge = channels_last(Judge(network.embedder, style))
        self._optimiser = torch.optim.Adam(
            self.decoder.learning(), settings.rate, betas=(0.5, 0.99)
        )
        self._judge_optimiser = torch.optim.Adam(
            self._judge.parameters(), settings.judge_rate, betas=(0.0, 0.99)
        )
        self._pairs = np.array(pairs)
        own = self._pairs[:, 0] == 0
        share = np.where(own, settings.own / max(own.sum(), 1), 0.0)
        share[~own] = (1.0 - settings.own) / max((~own).sum(), 1)
        self._chances = share / share.sum()
        self._held_out = self._cut(np.array(held_out), None)

    def step(self, done: int) -> dict[str, float]:
        """One batch; ``done`` steps were taken. Gives the losses."""
        settings = self.settings
        chosen = self._random.choice(len(self._pairs), settings.batch, p=self._chances)
        episode, features = self._cut(self._pairs[chosen], self._random)
        for group in self._optimiser.param_groups:
            group["lr"] = settings.rate * _pace(done, settings.steps)
        with _fast():
            painted = self._paint(episode, features)
            losses = self._losses(painted, episode)
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        if settings.adversarial:
            losses["judge"] = self._step_judge(painted.detach(), episode)
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def score(self) -> float:
        """How far the held-out pictures are from the truth: pixels inside the lips count five
        times, and what the shipped embedder sees in them as much as the pixels."""
        episode, features = self._held_out
        painted = self._paint(episode, features).clamp(-1, 1)
        pixels = ((painted - episode.target).abs() * self._weight(episode)).mean()
        return float(pixels + seen_distance(self._embedder, painted, episode))

    def _losses(self, painted: Tensor, episode: Episode) -> dict[str, Tensor]:
        settings, target = self.settings, episode.target
        losses = {
            "pixel": settings.pixel * ((painted - target).abs() * self._weight(episode)).mean(),
            "slope": settings.slope * _slope_distance(painted, target),
        }
        with torch.no_grad():
            wanted = self._judge.eyes.trunk(target, episode.outlines)
        score, seen = self._judge(painted, episode.outlines)
        losses["matching"] = settings.matching * feature_matching(wanted, seen)
        losses["adversarial"] = -settings.adversarial * score.mean()
        return losses

    def _step_judge(self, painted: Tensor, episode: Episode) -> Tensor:
        with _fast():
            real, _ = self._judge(episode.target, episode.outlines)
            fake, _ = self._judge(painted, episode.outlines)
            loss = hinge_judge(real.float(), fake.float())
        self._judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._judge_optimiser.step()
        return loss.detach()

    def _cut(
        self, pairs: NDArray[np.int64], random: np.random.Generator | None
    ) -> tuple[Episode, Tensor]:
        """Cut (source, target) pairs, and embed the sources' features."""
        nobody = torch.zeros(len(pairs), dtype=torch.int64)
        augmentation = Augmentation(
            self.settings.bend, waves=0.0, flips=0.0, colours=False, lips=0.0, coarse=0.0
        )
        with torch.no_grad():
            episode = cut(
                self._faces, MOUTH, pairs[:, 1], pairs[:, :1], nobody, random, augmentation
            )
            patches = episode.source_patches[:, 0].contiguous(memory_format=torch.channels_last)
            _, features = self._embedder(patches, episode.source_outlines[:, 0])
        return episode, features

    def _paint(self, episode: Episode, features: Tensor) -> Tensor:
        carried = sample_at(features, episode.feature_grid)
        residual = self.decoder(episode.warped, episode.outlines, episode.numbers, carried)
        painted: Tensor = episode.warped + residual.float() * episode.share
        return painted.contiguous(memory_format=torch.channels_last)

    def _weight(self, episode: Episode) -> Tensor:
        inside = functional.interpolate(episode.outlines[:, :1], scale_factor=2.0, mode="bilinear")
        return 1.0 + self.settings.opening * (inside > -0.05).float()


def learn(learner: Learner, progress: Progress | None = None) -> Learnt:
    """Take the steps and remember the best moment."""
    settings = learner.settings
    before = best = learner.score()
    changes, best_step, idle = learner.decoder.changes(), 0, 0
    for done in range(1, settings.steps + 1):
        learner.step(done - 1)
        if progress is not None:
            progress(done, settings.steps)
        if done % settings.look_every and done != settings.steps:
            continue
        score, idle = learner.score(), idle + 1
        if score < best:
            best, best_step, idle = score, done, 0
            changes = learner.decoder.changes()
        if idle >= settings.patience:
            break
    return Learnt(changes, before, best, best_step, learner.pictures)


def seen_distance(embedder: Embedder, painted: Tensor, episode: Episode) -> Tensor:
    """Distance of two pictures in the directions of what the embedder sees, mean over its levels.

    As LPIPS (Zhang et al. 2018, eq. 1) with the shipped network and without weights of its own.
    """
    levels = zip(
        embedder.trunk(painted, episode.outlines),
        embedder.trunk(episode.target, episode.outlines),
        strict=True,
    )
    apart = [
        (functional.normalize(a.float(), dim=1) - functional.normalize(b.float(), dim=1))
        .square()
        .sum(1)
        .mean()
        for a, b in levels
    ]
    return torch.stack(apart).mean()


def _fast() -> torch.autocast:
    """Convolutions in bfloat16 where this processor multiplies it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=fast_dtype("cpu") is torch.bfloat16)


def _slope_distance(a: Tensor, b: Tensor) -> Tensor:
    apart = a - b
    across = (apart[..., 1:] - apart[..., :-1]).abs().mean()
    down = (apart[..., 1:, :] - apart[..., :-1, :]).abs().mean()
    return across + down


def _pace(done: int, steps: int) -> float:
    """The rate's share: a short warm-up, then down a half cosine."""
    return min(1.0, (done + 1) / 10) * (0.52 + 0.48 * float(np.cos(np.pi * done / steps)))
