"""Train the network that hears speech and moves the mouth.

    python -m avatar.training.audio_to_face --measured FOLDER --synthetic FOLDER
        --facegood FOLDER --music FOLDER [--alignments FOLDER] [--without PERSON]
        [--leave-out PART] [--steps 3000] [--seed 0] [--out FOLDER]

A causal convolutional network over blocks of 40 ms: the block and the one before it, then dilated
layers, then three outputs at 80, 60 and 40 ms before the end of the block. Targets are the mouth
curves of filmed people, relative to each person's rest, the inner lips that those curves give
through the rig, the visemes of synthetic speech, and whether there is speech at all.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.motion.curves import CURVES, PRESSED
from avatar.speech import FEATURES, FRAMES_PER_BLOCK, SAMPLES_PER_BLOCK
from avatar.training.audio_to_face_network import (
    AudioToFaceNetwork,
    NetworkShape,
    split,
)
from avatar.training.lip_sync import evaluate, synchronise
from avatar.training.speech_batches import TAPS, Batch, SpeechBatches, batch_features
from avatar.training.speech_corpus import Corpus, Sources, load_corpus
from avatar.training.speech_data import HELD_OUT_VOICES, Track, lip_matrix
from avatar.types import VISEME_NAMES
from avatar.weights import load_weights, save_weights

DATA = [
    {"name": "GRID audiovisual sentence corpus", "licence": "CC BY 4.0"},
    {"name": "FACEGOOD-Audio2Face recordings", "licence": "MIT"},
    {"name": "speech made with hibari-tts 0.2.1", "licence": "Apache-2.0"},
    {"name": "speech made with flite 2.2 (slt, awb, kal16)", "licence": "BSD-like"},
    {"name": "speech made with espeak-ng through espeakng-loader 0.2.4", "licence": "GPL-3.0 tool"},
    {"name": "random music played by FluidSynth with FluidR3_GM", "licence": "MIT soundfont"},
]
"""What the shipped weights were made from."""

_SHARES = [0.42, 0.12, 0.28, 0.18]
"""Of a batch: GRID, free speech, synthetic speech, sounds without a voice."""
_SYNTHETIC = 2

TERMS = ("curves", "opening", "width", "concordance", "speed", "closure", "visemes", "gate")
PARTS = (*TERMS, "synthetic speech", "augmentation", "synchronising")
"""What may be left out, to see what it brings: terms of the loss, material, and steps."""

_KIND_WEIGHT = {"measured": 1.0, "curves": 1.0, "synthetic": 0.6, "noise": 0.4}
_LIP_UNIT = 0.05
_SLOPE = 0.05
_STERN = 4.0
_AVERAGE = 0.998
_CALIBRATION_CLIPS = 40
_BOLDEST = 1.5


def _concordance(predicted: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean of one minus Lin's concordance over the rows that know their target; ``[B, T]`` each."""
    count = known.sum(1).clamp(min=1)

    def centred(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x * known).sum(1) / count
        return mean, (x - mean[:, None]) * known

    p_mean, p = centred(predicted)
    t_mean, t = centred(target)
    covariance = (p * t).sum(1) / count
    spread = (p.square().sum(1) + t.square().sum(1)) / count + (p_mean - t_mean).square()
    rows = (known.float().mean(1) > 0.5) & (t.square().sum(1) / count > 1e-4)
    agreement = 2 * covariance / (spread + 1e-4)
    return ((1 - agreement) * rows).sum() / rows.sum().clamp(min=1)


class SpeechLoss:
    """All the terms of training but those left out; call it with the raw outputs and a batch."""

    def __init__(self, curve_deviation: Tensor, leave_out: frozenset[str] = frozenset()) -> None:
        self._leave_out = leave_out
        self._curve_weight = 1.0 / (curve_deviation + 0.03).square() / len(CURVES)
        self._lips = torch.from_numpy(lip_matrix())

    def __call__(self, raw: Tensor, batch: Batch) -> dict[str, Tensor]:
        curves, visemes, gate = split(raw, slope=_SLOPE)
        target = torch.from_numpy(batch.curves)
        lips = torch.from_numpy(batch.lips)
        kind = torch.tensor([_KIND_WEIGHT[k] for k in batch.kinds])[:, None, None]
        known = torch.isfinite(target[..., 0])
        target = target.nan_to_num()
        wanted = torch.where(torch.isfinite(lips), lips, target @ self._lips) / _LIP_UNIT
        made = curves @ self._lips / _LIP_UNIT
        voiced = torch.from_numpy(batch.speech).nan_to_num()
        measured = torch.tensor([k == "measured" for k in batch.kinds])[:, None, None]
        weight = known * kind * torch.where(measured & (voiced < 0.5), 0.3, 1.0)
        closure = 1.0 + 2.0 * ((wanted[..., 0] < 0.3) & (voiced > 0.5))
        total = weight.sum().clamp(min=1)

        def mean(x: Tensor, weights: Tensor = weight) -> Tensor:
            return (x * weights).sum() / total

        def steady(x: Tensor) -> Tensor:
            return x[:, :, :2].reshape(len(x), -1)

        opening, aim = steady(made[..., 0]), steady(wanted[..., 0])
        seen = steady(known) & steady(measured.expand_as(known) | (kind == 1.0).expand_as(known))
        both = (steady(weight)[:, 1:] * steady(weight)[:, :-1]).sqrt()
        speed = (opening.diff(dim=1) - aim.diff(dim=1)).square()
        heard = torch.from_numpy(batch.visemes)
        labelled = torch.isfinite(heard[..., 0])
        pressed = labelled * (heard[..., PRESSED] > 0.6)
        entropy = -(heard.nan_to_num() * functional.log_softmax(visemes, -1)).sum(-1)
        sure = torch.isfinite(torch.from_numpy(batch.speech))
        strict = [_STERN if kind == "noise" else 1.0 for kind in batch.kinds]
        sternness = torch.tensor(strict)[:, None, None]
        gates = functional.binary_cross_entropy_with_logits(gate, voiced, reduction="none")
        terms = {
            "curves": mean(((curves - target).square() * self._curve_weight).sum(-1)) * 0.5,
            "opening": mean((made[..., 0] - wanted[..., 0]).square() * closure),
            "width": mean((made[..., 1] - wanted[..., 1]).square()) * 0.5,
            "concordance": _concordance(opening, aim, seen.float()) * 1.5,
            "speed": (speed * both).sum() / total,
            "closure": (made[..., 0].square() * pressed).sum() / pressed.sum().clamp(min=1) * 0.25,
            "visemes": (entropy * labelled).sum() / labelled.sum().clamp(min=1) * 0.5,
            "gate": (gates * sure * sternness).sum() / sure.sum() * 0.5,
        }
        return {name: term for name, term in terms.items() if name not in self._leave_out}


@torch.no_grad()
def _follow(average: AudioToFaceNetwork, network: AudioToFaceNetwork) -> None:
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - _AVERAGE)


@torch.no_grad()
def calibrate(network: AudioToFaceNetwork, people: dict[str, list[Track]]) -> None:
    """Undo the timidity of a mean: scale each curve to the spread that it has in filmed people."""
    network.eval()
    made, seen = [], []
    for own in people.values():
        for track in own[:_CALIBRATION_CLIPS]:
            blocks = len(track.powers) // FRAMES_PER_BLOCK
            features = batch_features(track.powers[None, : blocks * FRAMES_PER_BLOCK])
            curves = split(network(torch.from_numpy(features)))[0][0, :, 0].clamp(0, 1)
            times = FRAMES_PER_BLOCK * (np.arange(blocks) + 1) - TAPS[0]
            made.append(curves[1:])
            seen.append(torch.from_numpy(track.curves[times[1:]]))
    spread = torch.cat(seen).std(0) / (torch.cat(made).std(0) + 1e-4)
    gain = torch.where(torch.cat(seen).std(0) > 0.01, spread.clamp(1.0, _BOLDEST), 1.0)
    rows = torch.cat([gain, torch.ones(len(VISEME_NAMES))]).repeat(len(TAPS))
    network.output.weight.mul_(rows[:, None])
    network.output.bias.mul_(rows)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn, from where, and without which of ``PARTS``."""

    steps: int
    size: int
    rate: float
    seed: int
    start: Path | None
    leave_out: frozenset[str] = frozenset()


def _begin(sample: Batch, start: Path | None) -> AudioToFaceNetwork:
    """A fresh network for features like those of ``sample``, or the one saved in ``start``."""
    if start is not None:
        network = AudioToFaceNetwork(NetworkShape(), torch.zeros(FEATURES), torch.ones(FEATURES))
        network.load_state_dict(load_weights("audio_to_face", folder=start)[0], strict=False)
        return network
    flat = torch.from_numpy(sample.features).reshape(-1, FEATURES)
    return AudioToFaceNetwork(NetworkShape(), flat.mean(0), flat.std(0) + 0.1)


def train(corpus: Corpus, plan: Plan, log: Callable[[str], None]) -> AudioToFaceNetwork:
    """Optimise with AdamW on a cosine; gives the moving average of the weights."""
    torch.manual_seed(plan.seed)
    steps = plan.steps
    heard = list(corpus.train)
    if "synthetic speech" in plan.leave_out:
        heard[_SYNTHETIC] = {}
    augment = "augmentation" not in plan.leave_out
    batches = SpeechBatches(heard, _SHARES, corpus.noises, seed=plan.seed, augment=augment)
    sample = batches.draw(256)
    network = _begin(sample, plan.start)
    average = copy.deepcopy(network)
    curves = torch.from_numpy(sample.curves[[k == "measured" for k in sample.kinds]])
    loss = SpeechLoss(curves[torch.isfinite(curves[..., 0])].std(0), plan.leave_out)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.rate, total_steps=steps, pct_start=0.05
    )
    began = time.monotonic()
    for step in range(steps):
        batch = batches.draw(plan.size)
        with torch.autocast("cpu", torch.bfloat16):
            raw = network(torch.from_numpy(batch.features))
        terms = loss(raw.float(), batch)
        optimiser.zero_grad()
        total = torch.stack(list(terms.values())).sum()
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _follow(average, network)
        if step % 100 == 99 or step == steps - 1:
            values = " ".join(f"{k} {v.item():.3f}" for k, v in terms.items())
            log(f"{step + 1} {time.monotonic() - began:.0f}s total {total.item():.3f} {values}")
        moment = step in (int(steps * 0.3), int(steps * 0.6))
        if moment and "synchronising" not in plan.leave_out:
            synchronise(average, corpus.train[0])
        if step % 500 == 499 or step == steps - 1:
            log(f"    held out {evaluate(average, corpus.held_out)}")
    calibrate(average, corpus.train[0] | corpus.train[1])
    return average


def _command(options: argparse.Namespace) -> str:
    """The command line with folders by their last name."""
    words = ["python -m avatar.training.audio_to_face"]
    for name, value in vars(options).items():
        for part in value if isinstance(value, list) else [value]:
            if part is not None and name != "out":
                words.append(f"--{name} {part.name if isinstance(part, Path) else part}")
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the audio-to-face network.")
    parser.add_argument("--measured", type=Path, required=True, help="npz of filmed clips")
    parser.add_argument("--synthetic", type=Path, required=True, help="folder of synthetic speech")
    parser.add_argument("--facegood", type=Path, required=True, help="FACEGOOD recordings")
    parser.add_argument("--music", type=Path, required=True, help="folder of instrumental music")
    parser.add_argument("--alignments", type=Path, help="phones of the filmed clips, where known")
    parser.add_argument("--without", action="append", default=[], help="keep this person out too")
    parser.add_argument(
        "--leave-out", action="append", default=[], choices=PARTS, help="to see what it brings"
    )
    parser.add_argument("--start", type=Path, help="go on from the weights in this folder")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the weights; the package's by default")
    options = parser.parse_args()
    sources = Sources(
        options.measured, options.synthetic, options.facegood, options.music, options.alignments,
        tuple(options.without),
    )  # fmt: skip
    corpus = load_corpus(sources, options.seed)
    plan = Plan(
        options.steps, options.batch, options.rate, options.seed, options.start,
        frozenset(options.leave_out),
    )  # fmt: skip
    network = train(corpus, plan, lambda line: print(line, flush=True)).eval()
    shape = asdict(network.shape)
    held_out = evaluate(network, corpus.held_out)
    config = {
        "format": 2,
        "curves": CURVES,
        "samples_per_block": SAMPLES_PER_BLOCK,
        **shape,
        "held_out_correlation": held_out,
        "data": DATA,
        "never_trained_on": sorted({*corpus.held_out, *HELD_OUT_VOICES}),
        "command": _command(options),
    }
    path = save_weights("audio_to_face", network.export(), config, options.out)
    print(json.dumps(held_out), path)


if __name__ == "__main__":
    main()
