"""One run of the meta-learning: its settings, its state, its step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.errors import ConfigError, InputError
from avatar.generator.episodes import Episode, paint
from avatar.generator.networks import PartConfig, PartGenerator, channels_last
from avatar.generator.parts import MOUTH, RIGHT_EYE_PART, Part
from avatar.training.discriminator import (
    Discriminator,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
)
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import FaceClips
from avatar.training.losses import Squares, region_weights, steadiness_loss
from avatar.training.perceptual import PerceptualFeatures
from avatar.training.ranks import Ranks

PARTS: dict[str, tuple[Part, PartConfig]] = {
    "mouth": (MOUTH, PartConfig(outlines=2, border=1, numbers=2 * len(MOUTH.points))),
    "eye": (RIGHT_EYE_PART, PartConfig(
        outlines=3, border=2, numbers=2 * len(RIGHT_EYE_PART.points), width=24, widest=96, blocks=1,
    )),
}  # fmt: skip
"""The part and the size of its networks."""

_STATEFUL = ("model", "smooth", "judge", "optimiser", "judge_optimiser")
_JUDGED = 1
"""The level of VGG16 from which on the discriminator looks: relu2_2."""

_PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Settings:
    """How a run trains; the same on the CPU and on a GPU.

    Attributes:
        batch: episodes a step, in each process. shots: source frames of an episode, at most.
        rate: learning rate of Adam; the discriminator's is ``judge_rate``.
        precision: ``bf16`` (convolutions in bfloat16, all else in float32) or ``fp32``.
        judge_after: samples seen before the discriminator's word counts.
        pixel, perceptual, adversarial, matching, person: weights of the losses.
        distance: share of LPIPS (of VGG16, up to relu3_3) in the perceptual losses.
        details: share of the steps in which perceptual looks at a small square about the opening,
            enlarged, instead of all that is painted.
        steadiness: weight of the difference between painted and true change of neighbours.
        neighbours: share of the steps whose targets are pairs of neighbouring moments.
        opening: extra weight of pixels inside the part's opening; border: inside the lips or iris.
        average: decay of the moving average of the generator's weights, a step.
    """

    batch: int = 12
    shots: int = 3
    rate: float = 2e-4
    judge_rate: float = 8e-4
    precision: str = "bf16"
    judge_after: int = 20_000
    pixel: float = 10.0
    perceptual: float = 1.0
    adversarial: float = 0.3
    matching: float = 2.0
    person: float = 1.0
    distance: float = 4.0
    details: float = 0.75
    steadiness: float = 5.0
    neighbours: float = 0.25
    opening: float = 6.0
    border: float = 0.5
    average: float = 0.999

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise ConfigError(f"precision must be bf16 or fp32, got {self.precision!r}")
        if self.batch < 2 or self.batch % 2 or self.shots < 1:
            raise ConfigError(
                f"batch must be even and shots at least 1, got {self.batch} and {self.shots}"
            )


@dataclass(frozen=True, eq=False)
class _Shown:
    """What the discriminator is shown of a batch: features of true and of painted pictures."""

    true: list[Tensor]
    made: list[Tensor]
    outlines: Tensor
    person: Tensor


class Trainer:
    """The state of one run and its step, in one of its processes."""

    def __init__(
        self,
        part: str,
        clips: FaceClips,
        vgg: PerceptualFeatures,
        settings: Settings,
        device: str,
        seed: int,
        ranks: Ranks = Ranks(),  # noqa: B008, it is frozen
    ) -> None:
        torch.manual_seed(seed)
        self.part, config = PARTS[part]
        self.settings, self.device, self.ranks = settings, device, ranks
        self.sampler = EpisodeSampler(clips, self.part, seed=(seed, ranks.rank))
        self.model = channels_last(PartGenerator(config).to(device))
        self.smooth = channels_last(PartGenerator(config).to(device))
        self.smooth.load_state_dict(self.model.state_dict())
        people = int(clips.people.max()) + 1
        levels = vgg.channels[_JUDGED:]
        self.judge = channels_last(
            Discriminator(levels, config.outlines, people, config.style).to(device)
        )
        self.vgg = channels_last(vgg.to(device))
        self.optimiser = torch.optim.Adam(self.model.parameters(), settings.rate, betas=(0.5, 0.99))
        self.judge_optimiser = torch.optim.Adam(
            self.judge.parameters(), settings.judge_rate, betas=(0.0, 0.99)
        )
        self.samples = 0

    def step(self) -> dict[str, float]:
        """One batch through generator and discriminator; returns the losses."""
        settings, random = self.settings, self.sampler.random
        shots = int(random.integers(1, settings.shots + 1))
        neighbours = random.random() < settings.neighbours
        with torch.no_grad():
            episode = self.sampler.draw(settings.batch, shots, neighbours=neighbours)
        judged = self.samples >= settings.judge_after
        with self._fast():
            painted, style = paint(self.model, episode)
            losses, shown = self._losses(episode, painted, style, judged)
            if neighbours:
                losses["steadiness"] = settings.steadiness * steadiness_loss(
                    painted, episode.target
                )
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.ranks.average(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        if self.samples >= 0.5 * settings.judge_after:
            losses["judge"] = self._step_judge(shown)
        self.samples += settings.batch * self.ranks.world
        with torch.no_grad():
            for slow, fast in zip(self.smooth.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - settings.average)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _fast(self) -> torch.autocast:
        half = _PRECISIONS[self.settings.precision]
        return torch.autocast(
            self.device.split(":")[0], torch.bfloat16, enabled=half is torch.bfloat16
        )

    def _losses(
        self, episode: Episode, painted: Tensor, style: Tensor, judged: bool
    ) -> tuple[dict[str, Tensor], _Shown]:
        settings, part = self.settings, self.part
        painted = painted.contiguous(memory_format=torch.channels_last)
        weight = region_weights(episode.outlines, settings.opening, settings.border)
        losses = {"pixel": settings.pixel * ((painted - episode.target).abs() * weight).mean()}
        close = self.sampler.random.random() < settings.details
        squares = (
            Squares.close_up(episode, part, self.sampler.random)
            if close
            else Squares.painted(episode, part)
        )
        with torch.no_grad():
            true = self.vgg(squares.look(episode.target, part))
        made = self.vgg(squares.look(painted, part).clamp(-1, 1))
        losses["detail" if close else "perceptual"] = settings.perceptual * self.vgg.apart(
            made, true, settings.distance
        )
        shown = _Shown(
            true[_JUDGED:], made[_JUDGED:], squares.of(episode.outlines, part), episode.person
        )
        if judged:
            scores, features = self.judge(shown.made, shown.outlines, shown.person)
            with torch.no_grad():
                true_features = self.judge(shown.true, shown.outlines, shown.person)[1]
            losses["adversarial"] = settings.adversarial * hinge_generator(scores)
            losses["matching"] = settings.matching * feature_matching(true_features, features)
            losses["person"] = settings.person * functional.l1_loss(
                style, self.judge.people(episode.person).detach()
            )
        return losses, shown

    def _step_judge(self, shown: _Shown) -> Tensor:
        made = [level.detach() for level in shown.made]
        with self._fast():
            real, _ = self.judge(shown.true, shown.outlines, shown.person)
            fake, _ = self.judge(made, shown.outlines, shown.person)
            loss = hinge_discriminator([s.float() for s in real], [s.float() for s in fake])
        self.judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average(self.judge.parameters())
        self.judge_optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, of all processes: call it in each."""
        return {
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
            "samples": self.samples,
            "settings": asdict(self.settings),
            "random": self.ranks.gather(self.sampler.random.bit_generator.state),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises:
            InputError: it was made with other settings or by another number of processes.
        """
        if state["settings"] != asdict(self.settings):
            changed = {k for k, v in asdict(self.settings).items() if state["settings"].get(k) != v}
            raise InputError(
                f"the run was begun with other settings ({', '.join(sorted(changed))}); give the "
                "same, or begin another run from its weights with --start-from"
            )
        if len(state["random"]) != self.ranks.world:
            raise InputError(
                f"the run was begun by {len(state['random'])} processes, not {self.ranks.world}"
            )
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.samples = int(state["samples"])
        self.sampler.random.bit_generator.state = state["random"][self.ranks.rank]
