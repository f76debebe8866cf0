"""One call on a lent GPU: build, check and time the CUDA kernels, then train the generator.

    python benchmarks/gpu_run.py train --pack .pack --out "$OUT" --minutes 9
    python benchmarks/gpu_run.py take FILES --pack .pack
    python benchmarks/gpu_run.py weights .pack/run -o mouth.pt

``train`` needs nothing installed but torch, numpy, scipy, pillow and safetensors, and goes on from
``.pack/run`` if that is there. It leaves in ``--out`` at most eight files of at most 15 MiB:
``cuda_ops.json``, ``log.txt``, the last sheet, and the checkpoint in pieces, in half precision (the
next call goes on from nearly the same point; on one machine ``avatar train generator`` goes on from
exactly the same). ``take`` puts the pieces that came back where the next call looks for them, and
``weights`` makes of them what ``avatar.training.ship`` wants. Without a GPU all of it runs too.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
PIECE_BYTES = 15 * 2**20
PIECES = "checkpoint.*"
ENDING_SECONDS = 25
"""Kept free for the last look, the checkpoint and what comes back."""


def train(args: argparse.Namespace) -> int:
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    failed = 0
    if not args.no_check:
        check = [sys.executable, str(ROOT / "benchmarks" / "cuda_check.py"), "--out", str(args.out)]
        failed = subprocess.run(check, check=False, stdout=subprocess.DEVNULL).returncode
        print(f"kernels: {'failed' if failed else 'good'}, {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        before = args.pack / "run"
        if list(before.glob(PIECES)):
            torch.save(joined(before), run / "last.pt")
        left = 60 * args.minutes - (time.monotonic() - started) - ENDING_SECONDS
        command = [
            sys.executable, "-m", "avatar.training.generator", "--part", args.part,
            "--data", str(args.pack), "--networks", str(args.pack / "networks"), "--out", folder,
            "--minutes", str(max(left, 0) / 60), *args.options,
        ]  # fmt: skip
        with (args.out / "log.txt").open("w") as log:
            done = subprocess.run(
                command, check=False, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        print((args.out / "log.txt").read_text()[-3000:])
        if (run / "last.pt").exists():
            split(torch.load(run / "last.pt", map_location="cpu", weights_only=False), args.out)
        sheets = sorted(run.glob("*.png"))
        if sheets:
            shutil.copy(sheets[-1], args.out / "sheet.png")
    print(f"{time.monotonic() - started:.0f} s in all")
    return failed or done.returncode


def split(state: dict[str, Any], out: Path) -> None:
    """Write a checkpoint in half precision and in pieces."""
    buffer = io.BytesIO()
    torch.save(cast(state, torch.float32, torch.bfloat16), buffer)
    data = buffer.getvalue()
    for k, start in enumerate(range(0, len(data), PIECE_BYTES)):
        (out / f"checkpoint.{k}").write_bytes(data[start : start + PIECE_BYTES])


def joined(folder: Path) -> dict[str, Any]:
    """The checkpoint that ``split`` wrote."""
    pieces = sorted(folder.glob(PIECES), key=lambda path: int(path.suffix[1:]))
    data = b"".join(path.read_bytes() for path in pieces)
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    whole: dict[str, Any] = cast(state, torch.bfloat16, torch.float32)
    return whole


def cast(value: Any, old: torch.dtype, new: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        # Adam's count of steps is a tensor without axes, which must stay exact.
        return value.to(new) if value.dtype is old and value.dim() else value
    if isinstance(value, dict):
        return {key: cast(one, old, new) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cast(one, old, new) for one in value)
    return value


def take(args: argparse.Namespace) -> int:
    place = args.pack / "run"
    place.mkdir(parents=True, exist_ok=True)
    for stale in place.glob(PIECES):
        stale.unlink()
    pieces = list(args.files.rglob(PIECES))
    for piece in pieces:
        shutil.copy(piece, place / piece.name)
    print(f"{len(pieces)} pieces in {place}")
    return 0 if pieces else 1


def weights(args: argparse.Namespace) -> int:
    smooth = joined(args.run_folder)["smooth"]
    torch.save({name: value.half() for name, value in smooth.items()}, args.out)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="on the lent machine")
    one.add_argument("--pack", type=Path, default=Path(".pack"))
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--part", choices=("mouth", "eye"), default="mouth")
    one.add_argument("--minutes", type=float, default=9.0, help="of the whole call")
    one.add_argument("--no-check", action="store_true", help="train alone")
    one.add_argument("options", nargs="*", help="after --: of avatar train generator")
    one.set_defaults(run=train)
    two = commands.add_parser("take", help="here, after a call")
    two.add_argument("files", type=Path, help="folder of what came back")
    two.add_argument("--pack", type=Path, default=Path(".pack"))
    two.set_defaults(run=take)
    three = commands.add_parser("weights", help="here, at the end")
    three.add_argument("run_folder", type=Path, metavar="RUN")
    three.add_argument("-o", "--out", type=Path, required=True)
    three.set_defaults(run=weights)
    args = parser.parse_args()
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
