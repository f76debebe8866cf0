"""How close the painted parts come to the truth, on people the generator never saw.

    python -m avatar.evaluation.patches --data FOLDER --networks FOLDER -o
    benchmarks/results/patches.json

For each held-out clip the frames of the far third (widest mouth, most closed eye) are painted from
a source of the near end (closed mouth, open eye) and compared with the truth by LPIPS (AlexNet),
beside this package's warp and the plain one (``plain_warp``). ``--data`` is a folder written by
``avatar.training.faces``, ``--networks`` holds ``alexnet.npz`` from ``avatar.training.perceptual``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from avatar.generator.networks import PartConfig, PartGenerator
from avatar.training.faces import FaceClips
from avatar.training.generator import PARTS, evaluate, save_sheet
from avatar.training.perceptual import PerceptualFeatures
from avatar.weights import load_weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument(
        "--sheets", type=Path, help="folder for pictures: source, warped, painted, true"
    )
    args = parser.parse_args()
    clips = FaceClips.load(args.data, held_out=True, every=2)
    lpips = PerceptualFeatures("alexnet", args.networks / "alexnet.npz")
    tensors, config = load_weights("generator")
    report: dict[str, object] = {
        "command": "python -m avatar.evaluation.patches --data FOLDER --networks FOLDER -o OUT",
        "weights_sha256": config["sha256"],
        "measure": "LPIPS (AlexNet), mean over held-out clips; ratios = painted / plain warp",
    }
    for name, (part, _) in PARTS.items():
        model = PartGenerator(PartConfig(**config["parts"][name]))
        model.load_state_dict(
            {
                k.removeprefix(f"{name}."): v.float()
                for k, v in tensors.items()
                if k.startswith(f"{name}.")
            }
        )
        figures, sheet = evaluate(model, clips, part, lpips)
        report[name] = {key: round(value, 4) for key, value in figures.items()}
        if args.sheets:
            args.sheets.mkdir(parents=True, exist_ok=True)
            save_sheet(sheet, args.sheets / f"{name}.png")
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
