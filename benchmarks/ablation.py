"""What each part of the voice's training brings: ``python -m benchmarks.ablation --work WORK …``.

Trains the audio-to-face network once whole and once without each part, all from the same seed and
for so many steps, far fewer than the shipped one had; evaluates each on people and voices that none
of them heard; and writes ``benchmarks/results/lipsync_ablation.json``. What is done already in WORK
is not done again, so the runs may be stopped, or spread over days.

Other options are those of ``avatar train audio-to-face``, and ``--unseen-music``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from avatar.training.audio_to_face import PARTS

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "lipsync_ablation.json"
WHOLE = "all"
LEFT_OUT = (
    "synthetic speech", "augmentation", "concordance", "visemes", "speed", "synchronising",
    "closure", "opening", "width",
)  # fmt: skip
STEPS, BATCH = 1000, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of weights and figures")
    for name in ("measured", "synthetic", "facegood", "music", "alignments", "unseen-music"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[])
    options = parser.parse_args()
    assert set(LEFT_OUT) <= set(PARTS)
    options.work.mkdir(parents=True, exist_ok=True)
    rows = {part: summary(figures(part, options)) for part in (WHOLE, *LEFT_OUT)}
    result = {
        "command": "python -m benchmarks.ablation --work WORK --measured shards --synthetic tts "
        "--facegood facegood --music music --alignments phones --unseen-music unseen_music",
        "steps": STEPS,
        "batch": BATCH,
        "left_out": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def figures(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """The evaluation of the network trained without ``part``, made where it is missing."""
    weights = options.work / part.replace(" ", "_")
    path = weights.with_suffix(".json")
    if not (weights / "audio_to_face.safetensors").exists():
        run(
            "train", "audio-to-face", "--steps", STEPS, "--batch", BATCH, "--out", weights,
            *(word for name in ("measured", "synthetic", "facegood", "music", "alignments")
              for word in (f"--{name}", getattr(options, name))),
            *(word for person in options.without for word in ("--without", person)),
            *(() if part == WHOLE else ("--leave-out", part)),
        )  # fmt: skip
    if not path.exists():
        run(
            "evaluate", "lipsync", "--tracks", options.measured, "--phones", options.alignments,
            "--synthetic", options.synthetic, "--music", options.unseen_music,
            "--weights", weights, "--each", 10, "-o", path,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "avatar", *map(str, words)], check=True)


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The figures that are compared, of people and voices never trained on."""
    grid, free, voices = (
        found["groups"][f"{group}, never trained on"]["systems"]["model"]
        for group in ("GRID", "free speech", "synthetic")
    )
    return {
        "grid_median": round(grid["opening"]["as_filmed"]["median"], 3),
        "grid_worst_decile": round(grid["opening"]["as_filmed"]["worst_decile"], 3),
        "grid_width_median": round(grid["width"]["as_filmed"]["median"], 3),
        "grid_jitter": round(grid["jitter"], 2),
        "free_speech": round(free["opening"]["as_filmed"]["median"], 3),
        "closures_recall": round(voices["closures"]["recall"], 3),
        "closures_precision": round(voices["closures"]["precision"], 3),
        "music_worst_opening": found["stillness"]["music"]["worst"]["highest"],
    }


if __name__ == "__main__":
    main()
