"""Meta-learning of the part generators (Zakharov et al. 2019, section 3.3).

    avatar train generator --part mouth --data FOLDER --networks NETWORKS --out RUN --minutes 60

Each step draws episodes of K source frames and a target of one person; the generator paints the
target from the sources and the target's landmarks, the projection discriminator judges. The run
stops after ``--minutes`` or ``--steps``, and a later call with the same ``--out`` goes on from its
last checkpoint as if it had not stopped: weights, optimisers, random states and all. The settings
are those of ``Settings``: as options, or in a JSON file (``--config``), the same on every device.

In several processes: ``torchrun --nproc-per-node 2 -m avatar.training.generator ...``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from avatar.config import from_mapping
from avatar.errors import ConfigError
from avatar.training.board import Board
from avatar.training.faces import FaceClips
from avatar.training.look import evaluate, save_sheet
from avatar.training.perceptual import PerceptualFeatures
from avatar.training.ranks import Ranks
from avatar.training.trainer import PARTS, Settings, Trainer

__all__ = ["PARTS", "Settings", "Trainer", "evaluate", "main", "run", "save_sheet"]

CHECKPOINT = "last.pt"


@dataclass(frozen=True)
class Until:
    """When a run stops and how often it saves.

    Attributes:
        stop_at: monotonic seconds. steps: of the whole run; 0 for no bound.
        save_every: seconds between two checkpoints; save_steps: or steps, if not 0.
    """

    stop_at: float
    steps: int = 0
    save_every: float = 120.0
    save_steps: int = 0


def run(
    trainer: Trainer,
    unseen: FaceClips,
    lpips: PerceptualFeatures,
    out: Path,
    until: Until,
    board: Board | None = None,
) -> None:
    """Train, logging, sampling and saving on the way."""
    sums: dict[str, float] = {}
    saved, count = time.monotonic(), 0
    per_step = trainer.settings.batch * trainer.ranks.world
    while True:
        for name, value in trainer.step().items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        now, steps = time.monotonic(), trainer.samples // per_step
        stop = now > until.stop_at or (until.steps and steps >= until.steps)
        due = now - saved > until.save_every or (until.save_steps and steps % until.save_steps == 0)
        # Clocks differ between processes.
        stop = trainer.ranks.agree(bool(stop), trainer.device)
        if stop or trainer.ranks.agree(bool(due), trainer.device):
            means = {name: round(value / count, 4) for name, value in sums.items()}
            seconds = round(now - saved, 1)
            _save(trainer, out)
            if trainer.ranks.first:
                _look(trainer, unseen, lpips, out, {"seconds": seconds, **means}, board)
            saved, sums, count = time.monotonic(), {}, 0
        if stop:
            return


def _save(trainer: Trainer, out: Path) -> None:
    """The checkpoint first: killed after it, a run loses only a picture."""
    state = trainer.state()
    if not trainer.ranks.first:
        return
    partial = out / "new.pt"
    torch.save(state, partial)
    partial.replace(out / CHECKPOINT)
    smooth = {k: v.half() for k, v in trainer.smooth.state_dict().items()}
    torch.save(smooth, partial)
    partial.replace(out / f"{trainer.part.name}.pt")


def _look(
    trainer: Trainer, unseen: FaceClips, lpips: PerceptualFeatures, out: Path,
    figures: dict[str, float], board: Board | None,
) -> None:  # fmt: skip
    seen, sheet = evaluate(trainer.smooth, unseen, trainer.part, lpips)
    line = {"samples": trainer.samples, **figures, **seen}
    print(json.dumps(line), flush=True)
    save_sheet(sheet, out / f"{trainer.part.name}_{trainer.samples:08d}.png")
    if board is not None:
        board.write(trainer.samples, line, sheet)


def main() -> None:
    args = _parser().parse_args()
    started = time.monotonic()
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    ranks = Ranks.join(device)
    try:
        _train(args, device, ranks, started)
    finally:
        ranks.leave()


def _train(args: argparse.Namespace, device: str, ranks: Ranks, started: float) -> None:
    if device == "cuda" and ranks.world > 1:
        device = f"cuda:{ranks.rank}"
    args.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True  # shapes are fixed but for the number of sources
    clips = FaceClips.load(args.data, held_out=False, device=device)
    unseen = FaceClips.load(args.data, held_out=True, device=device, every=2)
    vgg = PerceptualFeatures("vgg16", args.networks / "vgg16.npz")
    lpips = PerceptualFeatures("alexnet", args.networks / "alexnet.npz").to(device)
    trainer = Trainer(args.part, clips, vgg, _settings(args), device, args.seed, ranks)
    if args.start_from:
        weights = torch.load(args.start_from, map_location=device)
        for model in (trainer.model, trainer.smooth):
            model.load_state_dict(weights)
    checkpoint = args.out / CHECKPOINT
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=device, weights_only=False))
    if ranks.first:
        loaded = f"{len(clips.names)} clips, {len(clips.frames)} frames"
        print(f"{loaded}, {time.monotonic() - started:.0f} s", flush=True)
        print(f"beginning at {trainer.samples} samples", flush=True)
    until = Until(
        started + 60 * args.minutes, steps=args.steps, save_every=args.save_every,
        save_steps=args.save_steps,
    )  # fmt: skip
    board = Board(args.out / "board") if args.tensorboard and ranks.first else None
    run(trainer, unseen, lpips, args.out, until, board)
    if board is not None:
        board.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    for name, said in (
        ("data", "folder written by avatar train prepare --faces"),
        ("out", "folder of the run"),
        ("networks", "folder with vgg16.npz and alexnet.npz"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=said)
    parser.add_argument(
        "--start-from", type=Path, help="weights of an earlier run to begin a new one with"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many of the whole run")
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--save-every", type=float, default=120.0, help="seconds between checkpoints"
    )
    parser.add_argument("--save-steps", type=int, default=0, help="or steps between them")
    parser.add_argument("--tensorboard", action="store_true", help="write event files, too")
    parser.add_argument("--config", type=Path, help="JSON file of settings; options win")
    for field in fields(Settings):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=type(field.default), metavar=repr(field.default))
    return parser


def _settings(args: argparse.Namespace) -> Settings:
    """Of the file, if one is given, and of the options."""
    values = {}
    if args.config:
        try:
            values = json.loads(args.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{args.config}: cannot be read as JSON ({error})") from error
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    return from_mapping(Settings, {**values, **{k: v for k, v in given.items() if v is not None}})


if __name__ == "__main__":
    main()
