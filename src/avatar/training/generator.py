"""Meta-learning of the part generators (Zakharov et al. 2019, section 3.3).

    python -m avatar.training.generator --part mouth --data FOLDER --out RUN --minutes 60

Each step draws episodes of K source frames and a target of one person; the generator paints the
target from the sources and the target's landmarks, the projection discriminator judges. The run
stops after ``--minutes`` and a later call with the same ``--out`` goes on from its last checkpoint:
weights, optimisers, random states and all.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.generator.networks import PartConfig, PartGenerator, channels_last
from avatar.generator.parts import MOUTH, RIGHT_EYE_PART, Part
from avatar.personal.episodes import Episode, cut, paint
from avatar.training.discriminator import Discriminator, feature_matching, hinge_discriminator
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import FaceClips
from avatar.training.perceptual import PerceptualFeatures

PARTS: dict[str, tuple[Part, PartConfig]] = {
    "mouth": (MOUTH, PartConfig(outlines=2, border=1, numbers=2 * len(MOUTH.points))),
    "eye": (RIGHT_EYE_PART, PartConfig(
        outlines=3, border=2, numbers=2 * len(RIGHT_EYE_PART.points), width=24, widest=96, blocks=1,
    )),
}  # fmt: skip
"""The part and the size of its networks."""

_STATEFUL = ("model", "smooth", "judge", "optimiser", "judge_optimiser")


@dataclass(frozen=True)
class Settings:
    """How a run trains.

    Attributes:
        batch: episodes a step. rate: learning rate of Adam; the discriminator's is ``judge_rate``.
        judge_after: samples seen before the discriminator's word counts.
        pixel, perceptual, adversarial, matching, person: weights of the losses.
        opening: extra weight of pixels inside the part's opening.
        average: decay of the moving average of the generator's weights, a step.
    """

    batch: int = 12
    rate: float = 2e-4
    judge_rate: float = 8e-4
    judge_after: int = 20_000
    pixel: float = 10.0
    perceptual: float = 1.0
    adversarial: float = 1.0
    matching: float = 10.0
    person: float = 1.0
    opening: float = 4.0
    average: float = 0.999


class Trainer:
    """The state of one run and its step."""

    def __init__(
        self,
        part: str,
        clips: FaceClips,
        vgg: PerceptualFeatures,
        settings: Settings,
        device: str,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self.part, config = PARTS[part]
        self.settings, self.device = settings, device
        self.sampler = EpisodeSampler(clips, self.part, seed=seed)
        self.model = channels_last(PartGenerator(config).to(device))
        self.smooth = channels_last(PartGenerator(config).to(device))
        self.smooth.load_state_dict(self.model.state_dict())
        people = int(clips.people.max()) + 1
        self.judge = channels_last(Discriminator(config.outlines, people, config.style).to(device))
        self.vgg = channels_last(vgg.to(device))
        self.optimiser = torch.optim.Adam(self.model.parameters(), settings.rate, betas=(0.5, 0.99))
        self.judge_optimiser = torch.optim.Adam(
            self.judge.parameters(), settings.judge_rate, betas=(0.0, 0.99)
        )
        self.samples = 0

    def step(self) -> dict[str, float]:
        """One batch through generator and discriminator; returns the losses."""
        settings = self.settings
        shots = int(self.sampler.random.integers(1, 4))
        with torch.no_grad():
            episode = self.sampler.draw(settings.batch, shots)
        judged = self.samples >= settings.judge_after
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            painted, style = paint(self.model, episode)
            losses = self._losses(episode, painted, style, judged)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        if self.samples >= 0.5 * settings.judge_after:
            losses["judge"] = self._step_judge(episode, painted.detach())
        self.samples += settings.batch
        with torch.no_grad():
            for slow, fast in zip(self.smooth.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 1 - settings.average)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(
        self, episode: Episode, painted: Tensor, style: Tensor, judged: bool
    ) -> dict[str, Tensor]:
        settings = self.settings
        painted = painted.contiguous(memory_format=torch.channels_last)
        inside = functional.interpolate(episode.outlines[:, :1], scale_factor=2.0, mode="bilinear")
        weight = 1.0 + settings.opening * (inside > -0.05).float()
        losses = {
            "pixel": settings.pixel * ((painted - episode.target).abs() * weight).mean(),
            "perceptual": settings.perceptual * self.vgg.loss(painted.clamp(-1, 1), episode.target),
        }
        if judged:
            fake, fake_features = self.judge(painted, episode.outlines, episode.person)
            with torch.no_grad():
                real_features = self.judge(episode.target, episode.outlines, episode.person)[1]
            losses["adversarial"] = -settings.adversarial * fake.mean()
            losses["matching"] = settings.matching * feature_matching(real_features, fake_features)
            losses["person"] = settings.person * functional.l1_loss(
                style, self.judge.people(episode.person).detach()
            )
        return losses

    def _step_judge(self, episode: Episode, painted: Tensor) -> Tensor:
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            real, _ = self.judge(episode.target, episode.outlines, episode.person)
            fake, _ = self.judge(painted, episode.outlines, episode.person)
            loss = hinge_discriminator(real.float(), fake.float())
        self.judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.judge_optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
            "samples": self.samples,
            "torch": torch.get_rng_state(),
            "random": self.sampler.random.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.samples = int(state["samples"])
        torch.set_rng_state(state["torch"])
        self.sampler.random.bit_generator.state = state["random"]


@torch.no_grad()
def evaluate(
    model: PartGenerator,
    clips: FaceClips,
    part: Part,
    lpips: PerceptualFeatures,
    per_clip: int = 12,
) -> tuple[dict[str, float], Tensor]:
    """LPIPS (AlexNet) of painted and of bare warped patches on the far third of each clip, from the
    near third.

    Returns the figures and a sheet ``[rows, 4, 3, S, S]``: source, warped, painted, true.
    """
    sampler = EpisodeSampler(clips, part)
    painted_sum, warped_sum, sheet, ratios = 0.0, 0.0, [], {}
    for clip, order in enumerate(sampler.order):
        n = len(order)
        mouth = part.name == "mouth"
        far = order[2 * n // 3 :] if mouth else order[: n // 3]
        near = order[: max(1, n // 10)] if mouth else order[-max(1, n // 10) :]
        targets = far[np.linspace(0, len(far) - 1, per_clip).astype(int)]
        sources = near[np.arange(per_clip) % len(near)][:, None]
        person = torch.zeros(per_clip, dtype=torch.int64)
        episode = cut(clips, part, targets, sources, person)
        painted = paint(model, episode)[0].clamp(-1, 1)
        a, b = (
            lpips.lpips(painted, episode.target).mean(),
            lpips.lpips(episode.warped, episode.target).mean(),
        )
        painted_sum, warped_sum = painted_sum + float(a), warped_sum + float(b)
        ratios[clips.names[clip]] = round(float(a / b), 3)
        for k in (per_clip // 2, per_clip - 1):
            sheet.append(
                torch.stack(
                    [episode.source_patches[k, 0], episode.warped[k], painted[k], episode.target[k]]
                )
            )
    figures = {"lpips_painted": painted_sum / len(ratios), "lpips_warped": warped_sum / len(ratios)}
    return {**figures, "ratio": painted_sum / warped_sum, **ratios}, torch.stack(sheet)


def save_sheet(sheet: Tensor, path: Path, columns: int = 3) -> None:
    """Write rows of patches as one picture."""
    from PIL import Image

    rows = [torch.cat(list(row), 2) for row in sheet.clamp(-1, 1).float().cpu()]
    while len(rows) % columns:
        rows.append(torch.zeros_like(rows[0]))
    picture = torch.cat(
        [torch.cat(rows[k : k + columns], 2) for k in range(0, len(rows), columns)], 1
    )
    pixels = ((picture + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder written by avatar.training.faces"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--networks", type=Path, required=True, help="folder with vgg16.npz and alexnet.npz"
    )
    parser.add_argument(
        "--start-from", type=Path, help="weights of an earlier run to begin a new one with"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--save-every", type=float, default=120.0, help="seconds between checkpoints"
    )
    for name, kind in (
        ("batch", int),
        ("rate", float),
        ("judge-after", int),
        ("adversarial", float),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=getattr(Settings, name.replace("-", "_"))
        )
    args = parser.parse_args()
    started = time.monotonic()
    settings = Settings(
        batch=args.batch, rate=args.rate, judge_after=args.judge_after, adversarial=args.adversarial
    )
    args.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True  # shapes are fixed but for the number of sources
    clips = FaceClips.load(args.data, held_out=False, device=args.device)
    unseen = FaceClips.load(args.data, held_out=True, device=args.device, every=2)
    print(
        f"{len(clips.names)} clips, {len(clips.frames)} frames, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    vgg = PerceptualFeatures("vgg16", args.networks / "vgg16.npz")
    lpips = PerceptualFeatures("alexnet", args.networks / "alexnet.npz").to(args.device)
    trainer = Trainer(args.part, clips, vgg, settings, args.device, args.seed)
    if args.start_from:
        weights = torch.load(args.start_from, map_location=args.device)
        for model in (trainer.model, trainer.smooth):
            model.load_state_dict(weights)
    checkpoint = args.out / "last.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=args.device, weights_only=False))
        print(f"going on from {trainer.samples} samples", flush=True)
    run(
        trainer,
        unseen,
        lpips,
        args.out,
        stop_at=started + 60 * args.minutes,
        save_every=args.save_every,
    )


def run(
    trainer: Trainer,
    unseen: FaceClips,
    lpips: PerceptualFeatures,
    out: Path,
    *,
    stop_at: float,
    save_every: float,
) -> None:
    """Train until ``stop_at`` (monotonic seconds), logging, sampling and saving on the way."""
    sums: dict[str, float] = {}
    saved, count = time.monotonic(), 0
    while True:
        for name, value in trainer.step().items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        now = time.monotonic()
        if now - saved > save_every or now > stop_at:
            figures, sheet = evaluate(trainer.smooth, unseen, trainer.part, lpips)
            line = {
                "samples": trainer.samples,
                "seconds": round(now - saved, 1),
                **{k: round(v / count, 4) for k, v in sums.items()},
                **figures,
            }
            print(json.dumps(line), flush=True)
            save_sheet(sheet, out / f"{trainer.part.name}_{trainer.samples:08d}.png")
            torch.save(trainer.state(), out / "new.pt")
            (out / "new.pt").rename(out / "last.pt")
            torch.save(
                {k: v.half() for k, v in trainer.smooth.state_dict().items()},
                out / f"{trainer.part.name}.pt",
            )
            saved, sums, count = time.monotonic(), {}, 0
            if now > stop_at:
                return


if __name__ == "__main__":
    main()
