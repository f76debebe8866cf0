"""One call on a lent GPU: build the CUDA kernels, then check and measure drawing, or train.

    python benchmarks/gpu_run.py draw --out "$OUT"
    python benchmarks/gpu_run.py train --pack .pack --out "$OUT" --minutes 9
    python benchmarks/gpu_run.py take FILES --pack .pack
    python benchmarks/gpu_run.py weights .pack/run -o mouth.pt

Both need nothing installed but torch, numpy, scipy, pillow and safetensors, ``draw`` also pytest
and what builds the kernels (nvcc, cmake, ninja, pybind11). For other packages that are imported on
the way and hardly used, there are stand-ins.

``draw`` runs the tests that need a GPU and ``benchmarks/gpu_draw.py``, in under ten minutes, and
leaves ``gpu_draw.json`` and ``checks.txt`` in ``--out``.

``train`` goes on from ``.pack/run`` if that is there. It leaves in ``--out`` at most eight files
of at most 15 MiB: ``cuda_ops.json``, ``log.txt``, the last sheet, and the checkpoint in pieces, in
half precision (the next call goes on from nearly the same point; on one machine ``avatar train
generator`` goes on from exactly the same). ``take`` puts the pieces that came back where the next
call looks for them, and ``weights`` makes of them what ``avatar.training.ship`` wants.

Without a GPU all of it runs too, ``draw`` with ``--device cpu``.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
PIECE_BYTES = 15 * 2**20
PIECES = "checkpoint.*"
ENDING_SECONDS = 25
"""Kept free for the last look, the checkpoint and what comes back."""


CHECK_SECONDS = 150
STAND_INS = {
    "av": "from av import container, filter",
    "av.container": "",
    "av.filter": "",
    "soundfile": "",
    "librosa": "from librosa import filters",
    "librosa.filters": "from benchmarks.gpu_run import mel",
}
"""What is imported by modules that read films and sound, and the one function used of it."""


def draw(args: argparse.Namespace) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        shutil.copytree(ROOT / "src", site)
        build_kernels(Path(folder) / "kernels", site / "avatar")
        environment = bare_environment(Path(folder) / "stand_ins", site)
        if args.device == "cuda":
            environment["AVATAR_NEEDS_CUDA"] = "1"
        print(f"built: {time.monotonic() - started:.0f} s", flush=True)
        checked = run_checks(environment, args.out / "checks.txt")
        print(f"checks: {checked}, {time.monotonic() - started:.0f} s", flush=True)
        left = args.minutes - (time.monotonic() - started) / 60
        command = [
            sys.executable, "-m", "benchmarks.gpu_draw", "--out", str(args.out),
            "--device", args.device, "--minutes", str(left), *args.options,
        ]  # fmt: skip
        measured = subprocess.run(command, check=False, env=environment, cwd=ROOT).returncode
    print(f"{time.monotonic() - started:.0f} s in all")
    return measured or int(checked != "good")


def build_kernels(folder: Path, package: Path) -> None:
    """Build both native modules and put them into the package; without them torch does it all."""
    command = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if built.returncode:
        print(f"no kernels: {built.stderr[-2000:]}")
    for module in folder.glob("_native*.so"):
        shutil.copy(module, package / module.name)


BUILD = """
import sys, torch
from pathlib import Path
from benchmarks.cuda_check import build
build(Path(sys.argv[1]), "native" if torch.cuda.is_available() else "90")
"""


def run_checks(environment: dict[str, str], log: Path) -> str:
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore",
        "tests/generator/test_batched_cuda.py",
    ]  # fmt: skip
    with log.open("w") as file:
        try:
            done = subprocess.run(
                command, check=False, env=environment, cwd=ROOT, stdout=file,
                stderr=subprocess.STDOUT, timeout=CHECK_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"not done after {CHECK_SECONDS} s"
    print(log.read_text()[-3000:])
    return "failed" if done.returncode else "good"


def bare_environment(folder: Path, source: Path) -> dict[str, str]:
    """For a process that finds the package in ``source``, and in ``folder`` what is missing."""
    missing = [name for name in STAND_INS if importlib.util.find_spec(name.split(".")[0]) is None]
    for name in missing:
        is_package = any(other.startswith(f"{name}.") for other in STAND_INS)
        path = folder / name.replace(".", "/") / "__init__.py"
        path = path if is_package else path.parent.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_INS[name])
    paths = os.pathsep.join(str(path) for path in (source, folder, ROOT))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}


def mel(
    *, sr: float, n_fft: int, n_mels: int, fmin: float, fmax: float, norm: None
) -> NDArray[np.float64]:
    """``librosa.filters.mel`` without a norm: triangles on Slaney's scale, ``[n_mels, bins]``."""
    ends = hertz(np.linspace(*slaney(np.array([fmin, fmax])), n_mels + 2))
    rising = np.linspace(0, sr / 2, n_fft // 2 + 1) - ends[:, None]
    widths = np.diff(ends)[:, None]
    return np.maximum(0, np.minimum(rising[:-2] / widths[:-1], -rising[2:] / widths[1:]))


def slaney(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear up to 1000 Hz, 200/3 Hz a step, then 27 steps for a factor of 6.4."""
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, hertz * 3 / 200, above)


def hertz(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of ``slaney``."""
    return np.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))


def train(args: argparse.Namespace) -> int:
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    if not args.no_check:
        check = [sys.executable, str(ROOT / "benchmarks" / "cuda_check.py"), "--out", str(args.out)]
        failed = subprocess.run(check, check=False, stdout=subprocess.DEVNULL).returncode
        print(f"kernels: {'failed' if failed else 'good'}, {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        environment = bare_environment(run / "stand_ins", ROOT / "src")
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
    zero = commands.add_parser("draw", help="on the lent machine")
    zero.add_argument("--out", type=Path, required=True)
    zero.add_argument("--device", default="cuda")
    zero.add_argument("--minutes", type=float, default=8.0, help="after which no part is begun")
    zero.add_argument("options", nargs="*", help="after --: of benchmarks/gpu_draw.py")
    zero.set_defaults(run=draw)
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
