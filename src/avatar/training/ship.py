"""Write trained part generators as the weights that the package ships.

python -m avatar.training.ship --mouth RUN/mouth.pt --eye RUN/eye.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from avatar.training.generator import PARTS
from avatar.weights import save_weights

_DATA = [
    "GRID audiovisual sentence corpus, speakers s1 s4 s26 x1 x2 x3 x4 (CC BY 4.0)",
    "LatentSync demo2 clip (Apache-2.0 repository, contracted model)",
    "LivePortrait driving clips d0 d3 d6 d10 d11 d12 d14 d18 d19 s18 s20 s29 (MIT repository)",
    "animated illustrations a, b of an Apache-2.0 repository",
    "heads made of the ICT face model (MIT) by avatar.training.heads",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for part in PARTS:
        parser.add_argument(
            f"--{part}", type=Path, required=True, help=f"smoothed weights of the {part} run"
        )
    parser.add_argument("--out", type=Path, help="folder; that of the package by default")
    args = parser.parse_args()
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        for key, value in torch.load(getattr(args, part), map_location="cpu").items():
            tensors[f"{part}.{key}"] = value.half()
    config = {
        "parts": {part: sizes.as_dict() for part, (_, sizes) in PARTS.items()},
        "data": _DATA,
        "command": "python -m avatar.training.generator (see docs/training-log.md)",
        "license": "Apache-2.0",
    }
    print(save_weights("generator", tensors, config, args.out))


if __name__ == "__main__":
    main()
