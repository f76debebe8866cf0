"""Time the native operations against torch eager and against copying the same bytes.

    python -m benchmarks.ops [--out benchmarks/results/ops_cpu.json]

Each figure is the least of many short calls, taken in turns, so that a busy machine disturbs the
ratios little. Eager is the same arithmetic in plain torch calls, in whichever layout is faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.ops import adain, native_status, warp

SHAPES = ((64, 192), (128, 128), (256, 64), (32, 256))  # side, channels
SECONDS = 0.5  # of each comparison


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    default = Path(__file__).parent / "results" / "ops_cpu.json"
    parser.add_argument("--out", type=Path, default=default)
    out: Path = parser.parse_args().out
    status = native_status()
    rows = []
    with torch.inference_mode():
        for side, channels in SHAPES:
            for dtype in (torch.float32, torch.bfloat16):
                rows.append(time_adain(side, channels, dtype))
                rows.append(time_warp(side, channels, dtype))
                print(json.dumps(rows[-2]), json.dumps(rows[-1]), sep="\n", flush=True)
        rows.append(time_photo(1024))
        print(json.dumps(rows[-1]))
    report = {
        "command": f"OMP_NUM_THREADS={status.threads} python -m benchmarks.ops",
        "isa": status.isa or "none: plain torch",
        "threads": status.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")


def time_adain(side: int, channels: int, dtype: torch.dtype) -> dict[str, Any]:
    x = torch.randn(1, channels, side, side).to(dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    scale, shift = torch.randn(1, channels), torch.randn(1, channels)

    def eager(x: Tensor) -> Tensor:
        gain, offset = (t[:, :, None, None].to(x.dtype) for t in (scale, shift))
        return F.leaky_relu(F.instance_norm(x).mul_(gain).add_(offset), 0.2, inplace=True)

    return compared(
        "adain",
        last,
        native=lambda: adain(last, scale, shift, negative_slope=0.2),
        eager=lambda: eager(x),
        eager_last=lambda: eager(last),
        copy=lambda: last.clone(),
    )


def time_warp(side: int, channels: int, dtype: torch.dtype) -> dict[str, Any]:
    x = torch.randn(1, channels, side, side).to(dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    grid = turned(side, side)
    sample = ((2 * grid + 1) / side - 1).permute(0, 2, 3, 1).contiguous().to(dtype)

    def eager(x: Tensor) -> Tensor:
        return F.grid_sample(x, sample, padding_mode="border", align_corners=False)

    return compared(
        "warp",
        last,
        native=lambda: warp(last, grid),
        eager=lambda: eager(x),
        eager_last=lambda: eager(last),
        copy=lambda: last.clone(),
    )


def time_photo(side: int) -> dict[str, Any]:
    """A photo warped by a coarse grid. Eager must convert it and enlarge the grid."""
    photo = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    grid = turned(side, 33)
    planes = photo.contiguous()

    def eager(image: Tensor) -> Tensor:
        dense = F.interpolate(grid, (side, side), mode="bilinear", align_corners=True)
        sample = ((2 * dense + 1) / side - 1).permute(0, 2, 3, 1)
        moved = F.grid_sample(image.float(), sample, padding_mode="border", align_corners=False)
        return moved.round_().byte()

    return compared(
        "warp",
        photo,
        native=lambda: warp(photo, grid, (side, side)),
        eager=lambda: eager(planes),
        eager_last=lambda: eager(photo),
        copy=lambda: photo.clone(),
    )


def turned(side: int, nodes: int) -> Tensor:  # [1, 2, nodes, nodes]
    """The grid of a turn by 0.1 rad about the middle."""
    line = torch.linspace(-1.0, 1.0, nodes) * (side - 1) / 2
    x, y = torch.meshgrid(line, line, indexing="xy")
    return torch.stack([x - 0.1 * y, y + 0.1 * x])[None] + (side - 1) / 2


def compared(op: str, x: Tensor, **works: Callable[[], object]) -> dict[str, Any]:
    """The least time of each work, in turns; ``eager`` is the better of both layouts."""
    least = dict.fromkeys(works, float("inf"))
    begun = time.perf_counter()
    rounds = 0
    while rounds < 5 or time.perf_counter() - begun < SECONDS:
        for name, work in works.items():
            for _ in range(3):
                start = time.perf_counter()
                work()
                least[name] = min(least[name], time.perf_counter() - start)
        rounds += 1
    ms = {name: 1e3 * seconds for name, seconds in least.items()}
    eager = min(ms["eager"], ms["eager_last"])
    return {
        "op": op,
        "shape": list(x.shape),
        "dtype": str(x.dtype)[6:],
        "ms": round(ms["native"], 4),
        "eager_ms": round(eager, 4),
        "copy_ms": round(ms["copy"], 4),
        "times_faster_than_eager": round(eager / ms["native"], 1),
        "copies": round(ms["native"] / ms["copy"], 1),
    }


if __name__ == "__main__":
    main()
