"""Time the native operations beside plain torch, torch.compile and the machine's own copy.

    python -m benchmarks.ops [--out benchmarks/results/ops_cpu.json]

Each figure is the least of many short calls, taken in turns and in passes over all comparisons, so
that a machine that is busy for a while disturbs the ratios little. Every contender is given in
whichever layout is faster for it:

    eager          what one would write: F.leaky_relu(F.instance_norm(x) * scale + shift, 0.2)
    eager_in_place the same with mul_, add_ and an activation in place
    compiled       the first through torch.compile, where it finds a C++ compiler
    copy           a clone of the input: the limit that memory sets
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.generator.parts import LEFT_EYE_PART, MOUTH, RIGHT_EYE_PART, Part
from avatar.generator.portrait import NODE_SPACING
from avatar.generator.warping import landmark_flow_over_grid
from avatar.ops import Layer, adain, compose, native_status, warp

# Side, channels. Arrays above 32 MB would tell how fast the kernel clears fresh pages.
SHAPES = ((32, 256), (64, 192), (128, 128), (256, 64), (256, 96), (384, 32))
TYPES = (torch.float32, torch.bfloat16)
_numbers = itertools.count()
PASSES = 8  # over all comparisons

Works = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Comparison:
    """What is timed together, and the row of the report that comes of it.

    Attributes:
        works: what is called, by name.
        row: of the least milliseconds of each work.
        calls: how many calls are timed as one.
    """

    works: Works
    row: Callable[[dict[str, float]], dict[str, Any]]
    calls: int = 1


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
        for row in measured(list(comparisons())):
            rows.append(row)
            print(json.dumps(row), flush=True)
    report = {
        "command": f"OMP_NUM_THREADS={status.threads} python -m benchmarks.ops",
        "isa": status.isa or "none: plain torch",
        "threads": status.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "summary": summary(rows),
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")


def comparisons() -> Iterator[Comparison]:
    for side, channels in SHAPES:
        for dtype in TYPES:
            yield of_adain(side, channels, dtype)
            yield of_warp(side, channels, dtype)
    for side in (512, 1024):
        yield of_photo(side)
    yield of_frame(512)
    yield from of_dispatch()


def measured(all_of_them: list[Comparison]) -> list[dict[str, Any]]:
    """The rows of the report."""
    found = [dict.fromkeys(comparison.works, math.inf) for comparison in all_of_them]
    for _ in range(PASSES):
        for comparison, least in zip(all_of_them, found, strict=True):
            for name, work in comparison.works.items():
                least[name] = min(least[name], milliseconds(work, comparison.calls))
    return [comparison.row(least) for comparison, least in zip(all_of_them, found, strict=True)]


def milliseconds(work: Callable[[], object], calls: int) -> float:
    """The least of some times: the first calls find the caches full of another work's arrays."""
    least, begun, rounds = math.inf, time.perf_counter(), 0
    while rounds < 4 or time.perf_counter() - begun < 0.02:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        least = min(least, (time.perf_counter() - start) / calls)
        rounds += 1
    return 1e3 * least


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each operation and type: how many times faster than eager, and in how many copies."""
    found = {}
    for op in ("adain", "warp"):
        for dtype in ("float32", "bfloat16"):
            own = [row for row in rows if row["op"] == op and row["dtype"] == dtype]
            ratios = [row["times_faster_than_eager"] for row in own]
            found[f"{op} {dtype}"] = {
                "least_times_faster_than_eager": min(ratios),
                "geometric_mean_times_faster_than_eager": round(
                    math.prod(ratios) ** (1 / len(ratios)), 1
                ),
                "most_copies": max(row["copies"] for row in own),
            }
    return found


def of_adain(side: int, channels: int, dtype: torch.dtype) -> Comparison:
    x = torch.randn(1, channels, side, side).to(dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    scale, shift = torch.randn(1, channels), torch.randn(1, channels)
    gain, offset = (t[:, :, None, None].to(x.dtype) for t in (scale, shift))

    def eager(x: Tensor) -> Tensor:
        return F.leaky_relu(F.instance_norm(x) * gain + offset, 0.2)

    def in_place(x: Tensor) -> Tensor:
        return F.leaky_relu(F.instance_norm(x).mul_(gain).add_(offset), 0.2, inplace=True)

    works: Works = {
        "native": lambda: adain(last, scale, shift, negative_slope=0.2),
        "copy": lambda: last.clone(),
        **in_both_layouts("eager", eager, x, last),
        **in_both_layouts("eager_in_place", in_place, x, last),
        **in_both_layouts("compiled", compiled(eager, x, last), x, last),
    }
    return Comparison(works, partial(compared, "adain", last))


def of_warp(side: int, channels: int, dtype: torch.dtype) -> Comparison:
    x = torch.randn(1, channels, side, side).to(dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    grid = turned(side, side)
    sample = ((2 * grid + 1) / side - 1).permute(0, 2, 3, 1).contiguous().to(dtype)

    def eager(x: Tensor) -> Tensor:
        return F.grid_sample(x, sample, padding_mode="border", align_corners=False)

    works: Works = {
        "native": lambda: warp(last, grid),
        "copy": lambda: last.clone(),
        **in_both_layouts("eager", eager, x, last),
        **in_both_layouts("compiled", compiled(eager, x, last), x, last),
    }
    return Comparison(works, partial(compared, "warp", last))


def of_photo(side: int) -> Comparison:
    """A photo warped by a coarse grid. Eager must convert it and enlarge the grid."""
    photo = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    grid = turned(side, 33)
    planes = photo.contiguous()

    def eager(image: Tensor) -> Tensor:
        dense = F.interpolate(grid, (side, side), mode="bilinear", align_corners=True)
        sample = ((2 * dense + 1) / side - 1).permute(0, 2, 3, 1)
        moved = F.grid_sample(image.float(), sample, padding_mode="border", align_corners=False)
        return moved.round_().byte()

    works: Works = {
        "native": lambda: warp(photo, grid, (side, side)),
        "copy": lambda: photo.clone(),
        **in_both_layouts("eager", eager, planes, photo),
        **in_both_layouts("compiled", compiled(eager, planes, photo), planes, photo),
    }
    return Comparison(works, partial(compared, "warp", photo))


def of_frame(side: int) -> Comparison:
    """All that ``avatar.generator`` does for a frame beside its decoders, over a whole picture.

    The flow of the landmarks, then the photo warped under a mouth and two eyes.
    """
    unit = side / 4.0  # distance of the eyes
    nodes = round(1 / NODE_SPACING * side / unit)
    line = torch.linspace(0.0, side - 1.0, nodes)
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    target = side / 4 + torch.rand(1, 478, 2) * side / 2
    source = target + torch.randn(1, 478, 2)
    photo = torch.randint(0, 256, (side, side, 3), dtype=torch.uint8)

    def placed(part: Part) -> Layer:
        scale = part.size / (2 * part.extent * unit)
        paint = torch.rand(4, part.size, part.size)
        return Layer(paint, torch.cat([torch.eye(2), torch.full((2, 1), -side / 3)], 1) * scale)

    layers = [placed(part) for part in (MOUTH, RIGHT_EYE_PART, LEFT_EYE_PART)]

    def flow() -> Tensor:
        return landmark_flow_over_grid(line, line, target, source, torch.tensor([unit]))

    def frame() -> Tensor:
        return compose(photo, still + flow(), (0, 0, side, side), layers)

    def row(ms: dict[str, float]) -> dict[str, Any]:
        return {
            "op": "landmark flow and compose",
            "shape": [side, side, 3],
            "dtype": "uint8",
            "ms": round(ms["native"], 4),
            "flow_ms": round(ms["flow"], 4),
            "copy_ms": round(ms["copy"], 4),
        }

    return Comparison({"native": frame, "flow": flow, "copy": photo.clone}, row)


def of_dispatch() -> Iterator[Comparison]:
    """What a call costs beside its kernel: the call on one pixel, less the bare kernel."""
    from avatar.ops import _native

    kernels = _native.cpu_kernels()
    if kernels is None:
        return
    x = torch.randn(1, 16, 1, 1).contiguous(memory_format=torch.channels_last)
    y, style, grid = torch.empty_like(x), torch.randn(1, 16), torch.zeros(1, 2, 1, 1)
    arrays = x, y, style, grid  # what the bare kernels know by address only
    strides, threads = x.stride(), torch.get_num_threads()
    layer = (0, True, x.shape, x.data_ptr(), strides, 0, strides, y.data_ptr(), strides)
    layer = (*layer, style.data_ptr(), style.data_ptr(), 0.2, 1e-5, threads)
    moved = (0, True, x.shape, x.data_ptr(), strides, grid.data_ptr(), 1, 1, y.data_ptr(), strides)
    moved = (*moved, 1, 1, True, threads)
    for op, work, bare in (
        (
            "adain",
            lambda: adain(x, style, style, negative_slope=0.2),
            lambda kept=arrays: kernels.adain(*layer),
        ),
        ("warp", lambda: warp(x, grid), lambda kept=arrays: kernels.warp(*moved)),
    ):
        yield Comparison({"call": work, "kernel": bare}, partial(beside, op, x), calls=200)


def beside(op: str, x: Tensor, ms: dict[str, float]) -> dict[str, Any]:
    return {
        "op": f"dispatch of {op}",
        "shape": list(x.shape),
        "dtype": "float32",
        "ms": round(ms["call"] - ms["kernel"], 4),
        "kernel_ms": round(ms["kernel"], 4),
    }


def turned(side: int, nodes: int) -> Tensor:  # [1, 2, nodes, nodes]
    """The grid of a turn by 0.1 rad about the middle."""
    line = torch.linspace(-1.0, 1.0, nodes) * (side - 1) / 2
    x, y = torch.meshgrid(line, line, indexing="xy")
    return torch.stack([x - 0.1 * y, y + 0.1 * x])[None] + (side - 1) / 2


def compiled(function: FunctionType, *examples: Tensor) -> Callable[[Tensor], Tensor] | None:
    """``function`` through torch.compile, or None where it cannot: there is no C++ compiler."""
    # Under a name of its own it has a cache of its own, and no guards of others to pass.
    code = function.__code__.replace(co_name=f"compiled_{next(_numbers)}")
    own = FunctionType(code, function.__globals__, closure=function.__closure__)
    made: Callable[[Tensor], Tensor] = torch.compile(own, fullgraph=True, dynamic=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for example in examples:
                made(example)
    except torch._inductor.exc.InvalidCxxCompiler:
        return None
    return made


def in_both_layouts(
    name: str, function: Callable[[Tensor], Tensor] | None, planes: Tensor, last: Tensor
) -> Works:
    if function is None:
        return {}
    return {name: lambda: function(planes), f"{name}_last": lambda: function(last)}


def compared(op: str, x: Tensor, ms: dict[str, float]) -> dict[str, Any]:
    """The times of an operation and its contenders, each in its better layout."""
    row = {
        "op": op,
        "shape": list(x.shape),
        "dtype": str(x.dtype)[6:],
        "ms": round(ms["native"], 4),
        "copy_ms": round(ms["copy"], 4),
    }
    for name in ("eager", "eager_in_place", "compiled"):
        if name in ms:
            row[f"{name}_ms"] = round(min(ms[name], ms[f"{name}_last"]), 4)
    row["times_faster_than_eager"] = round(row["eager_ms"] / row["ms"], 1)
    row["copies"] = round(row["ms"] / row["copy_ms"], 1)
    return row


if __name__ == "__main__":
    main()
