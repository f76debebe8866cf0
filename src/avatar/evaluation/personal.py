"""What personalisation brings, on people whom no training has seen.

    python -m avatar.evaluation.personal --data FOLDER --networks FOLDER -o
    benchmarks/results/personal.json

Of each held-out person K frames are given, spread from the most closed to the widest mouth: of
another clip where there is one, else of the first half of the only one. The first of them is
animated. The frames of the far third of what follows are then painted, by the shipped decoder from
the first frame alone, by the same from all K, and by the decoder that learnt the K; LPIPS (AlexNet)
of the mouth patch against the truth, brought into the light of the first frame. LPIPS takes no
part in the learning. ``--data`` and ``--networks`` as there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.evaluation.plain_warp import plain_flow
from avatar.generator import Generator
from avatar.generator.episodes import cut, sample_at
from avatar.generator.parts import MOUTH
from avatar.personal.faces import PersonFaces, mouth_openness
from avatar.personal.learn import Learner, Learnt, Settings, learn
from avatar.personal.plan import held_out_and_pairs
from avatar.training.faces import FaceClips
from avatar.training.generator import save_sheet
from avatar.training.perceptual import PerceptualFeatures

TESTED = 16
"""Frames of each person that are measured."""

_AFTER = 0.55
"""Share of an only clip before the first measured frame; the given ones are of its first half."""


@dataclass(frozen=True)
class Person:
    """Frames of one person: ``given`` to learn from, ``tested`` to be measured."""

    name: str
    given: list[int]
    tested: list[int]


def people(clips: FaceClips, shots: int) -> list[Person]:
    """Each held-out person, with the frames as the module says."""
    openness = mouth_openness(clips.landmarks).numpy()
    found = []
    for person in np.unique(clips.people):
        own = np.flatnonzero(clips.people == person)
        ranges = [np.arange(clips.starts[k], clips.starts[k + 1]) for k in own]
        if len(ranges) > 1:
            early, late = ranges[0], ranges[1]
        else:
            count = len(ranges[0])
            early, late = ranges[0][: count // 2], ranges[0][int(_AFTER * count) :]
        early, late = (r[np.argsort(openness[r])] for r in (early, late))
        given = early[np.linspace(0, len(early) - 1, shots).astype(int)]
        far = late[-(len(late) // 3) :]
        tested = far[np.linspace(0, len(far) - 1, TESTED).astype(int)]
        found.append(Person(clips.names[own[0]], given.tolist(), tested.tolist()))
    return found


class Bench:
    """Paints and measures one person."""

    def __init__(
        self, generator: Generator, clips: FaceClips, lpips: PerceptualFeatures, person: Person
    ) -> None:
        self.network, self.lpips = generator.networks["mouth"], lpips
        chosen = [*person.given, *person.tested]
        # The truth may be of another day, under other lamps.
        lit = PersonFaces(
            clips.frames[chosen], clips.landmarks[chosen], torch.arange(478)
        ).in_the_light_of_the_first()
        shots = len(person.given)
        self.faces = PersonFaces(lit.frames[:shots], lit.landmarks[:shots], lit.mirror)
        zeros = np.zeros(len(person.given), np.int64)
        every = np.arange(len(person.given))
        given = cut(self.faces, MOUTH, every, every[:, None], torch.from_numpy(zeros))
        with torch.no_grad():
            self.styles, features = self.network.embedder(
                given.source_patches[:, 0], given.source_outlines[:, 0]
            )
        self.features = features[:1]
        tested = np.arange(shots, len(chosen))
        nobody = torch.zeros(len(tested), dtype=torch.int64)
        first = np.zeros((len(tested), 1), np.int64)
        self.tested = cut(lit, MOUTH, tested, first, nobody)
        self.plain = cut(lit, MOUTH, tested, first, nobody, flow=plain_flow).warped

    @torch.no_grad()
    def paint(self, decoder: torch.nn.Module, *style: Tensor) -> Tensor:
        """The tested frames; ``style`` for the shipped decoder, which is told it."""
        count = len(self.tested.target)
        features = self.features.expand(count, -1, -1, -1)
        carried = sample_at(features, self.tested.feature_grid)
        told = (self.tested.warped, self.tested.outlines, self.tested.numbers)
        styles = [one.expand(count, -1) for one in style]
        residual: Tensor = decoder(*told, *styles, carried)
        return (self.tested.warped + residual * self.tested.share).clamp(-1, 1)

    @torch.no_grad()
    def distance(self, painted: Tensor) -> float:
        return round(float(self.lpips.lpips(painted, self.tested.target).mean()), 4)

    def learn(self, settings: Settings, watch: bool) -> tuple[dict[str, float], Learnt, Tensor]:
        """LPIPS of all ways, what was learnt, and a sheet: source, warp, shipped, own, true."""
        mean = self.styles.mean(0, keepdim=True)
        shipped = self.paint(self.network.decoder, mean)
        held_out, pairs = held_out_and_pairs(self.faces)
        learner = Learner(
            self.network, self.faces, mean, pairs=pairs, held_out=held_out,
            pictures=len(self.faces.frames), settings=settings,
        )  # fmt: skip
        begun = time.monotonic()

        def look(done: int, steps: int) -> None:
            if watch and done % settings.look_every == 0:
                seconds = time.monotonic() - begun
                figure = self.distance(self.paint(learner.decoder))
                print(f"  {done} {seconds:.0f}s {learner.score():.4f} {figure:.4f}", flush=True)

        learnt = learn(learner, look)
        seconds = time.monotonic() - begun
        learner.decoder.take(learnt.changes)
        own = self.paint(learner.decoder) if learnt.better else shipped
        figures = {
            "plain": self.distance(self.plain), "warp": self.distance(self.tested.warped),
            "one": self.distance(self.paint(self.network.decoder, self.styles[:1])),
            "shipped": self.distance(shipped),
            "personal": self.distance(own),
            "score_before": round(learnt.before, 4), "score_after": round(learnt.after, 4),
            "steps": learnt.steps, "seconds": round(seconds, 1),
        }  # fmt: skip
        rows = [
            torch.stack([
                self.tested.source_patches[k, 0], self.tested.warped[k], shipped[k], own[k],
                self.tested.target[k],
            ])
            for k in (TESTED // 3, TESTED - 1)
        ]  # fmt: skip
        return figures, learnt, torch.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--shots", type=int, default=8, help="frames given, K")
    parser.add_argument("--only", help="people whose name holds this")
    parser.add_argument("--sheets", type=Path, help="picture: source, warp, shipped, own, true")
    parser.add_argument("--watch", action="store_true", help="say how it goes on the way")
    for field in fields(Settings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default))
    args = parser.parse_args()
    given = {f.name: getattr(args, f.name) for f in fields(Settings)}
    settings = replace(Settings(), **{k: v for k, v in given.items() if v is not None})
    clips = FaceClips.load(args.data, held_out=True)
    lpips = PerceptualFeatures("alexnet", args.networks / "alexnet.npz")
    generator = Generator.load()
    report: dict[str, object] = {
        "command": "python -m avatar.evaluation.personal --data FOLDER --networks FOLDER "
        f"--shots {args.shots} -o OUT",
        "weights_sha256": generator.weights_sha256,
        "measure": "LPIPS (AlexNet) of the mouth patch, far third of each held-out person",
        "shots": args.shots, "settings": asdict(settings),
    }  # fmt: skip
    rows, sheets = {}, []
    for person in people(clips, args.shots):
        if args.only and not any(word in person.name for word in args.only.split(",")):
            continue
        figures, _, sheet = Bench(generator, clips, lpips, person).learn(settings, args.watch)
        rows[person.name] = figures
        sheets.append(sheet)
        print(person.name, json.dumps(figures), flush=True)
    kinds = ("plain", "warp", "one", "shipped", "personal")
    means = {kind: round(float(np.mean([r[kind] for r in rows.values()])), 4) for kind in kinds}
    ratio = np.mean([row["personal"] / row["shipped"] for row in rows.values()])
    report["mean"] = {**means, "personal_over_shipped": round(float(ratio), 3)}
    report["people"] = rows
    print(json.dumps(report["mean"]))
    if args.sheets:
        save_sheet(torch.cat(sheets), args.sheets, 2)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
