"""Build the native modules on a machine with a GPU, check every operation there, and time it.

    python benchmarks/cuda_check.py --out build/cuda

Needs torch with CUDA, nvcc, cmake, ninja and pybind11; neither an installation of this package nor
its other dependencies. Writes ``cuda_ops.json`` into ``--out`` and ends with 1 if a check fails.
Without a GPU it compiles, says so, and ends with 0.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Largest error allowed, in units of the largest magnitude of the right answer.
FORWARD_LIMIT = {torch.float32: 2e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3, torch.uint8: 0.0}
BACKWARD_LIMIT = {torch.float32: 1e-4, torch.bfloat16: 1.5e-2, torch.float16: 3e-3}
TIMED = ((1, 64, 192), (1, 128, 128), (1, 256, 64), (1, 32, 256), (32, 64, 128), (32, 128, 64))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for cuda_ops.json")
    out: Path = parser.parse_args().out
    gpu = torch.cuda.is_available()
    report: dict[str, Any] = {
        "command": "python benchmarks/cuda_check.py --out OUT",
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if gpu else None,
    }
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        build(Path(folder), "native" if gpu else "90")
        report["build_seconds"] = round(time.monotonic() - started, 1)
        ops = import_ops(Path(folder))
        status = ops.native_status()
        report["cuda_built"] = status.cuda_built
        failures = [] if status.cuda_built else ["the CUDA module does not load"]
        if gpu:
            checks = [
                check
                for family in (check_adain, check_warp, check_spread, check_compose)
                for check in family(ops)
            ]
            failures += [f"{c['name']}: {c['error']:.2e}" for c in checks if not c["ok"]]
            report["checks"] = len(checks)
            report["largest_errors"] = largest(checks)
            report["timings"] = [
                row for family in (time_adain, time_warp, time_frame) for row in family(ops)
            ]
        report["failures"] = failures
    out.mkdir(parents=True, exist_ok=True)
    (out / "cuda_ops.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    if not gpu:
        print("compiled; no GPU here, so nothing was run on one")
    return 1 if failures else 0


def build(folder: Path, architectures: str) -> None:
    import pybind11

    configure = [
        "cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(folder), "-DAVATAR_CUDA=ON",
        f"-DCMAKE_CUDA_ARCHITECTURES={architectures}", f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
    ]  # fmt: skip
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise SystemExit(f"{' '.join(command)} failed:\n{said}")


def import_ops(folder: Path) -> Any:
    """``avatar.ops`` with the modules just built, without what else the package imports."""
    package = types.ModuleType("avatar")
    package.__path__ = [str(folder), str(ROOT / "src" / "avatar")]
    sys.modules["avatar"] = package
    import avatar.ops

    return avatar.ops


def result(
    name: str, dtype: torch.dtype, found: Tensor, right: Tensor, limit: float
) -> dict[str, Any]:
    """One check: NaN in the same places, and elsewhere within ``limit`` of the largest value."""
    found, right = found.detach().double(), right.detach().double()
    same = bool(torch.equal(found.isnan(), right.isnan()))
    difference = (found - right).nan_to_num(0.0).abs().max() if right.numel() else torch.zeros(())
    scale = right.nan_to_num(0.0).abs().max().clamp_min(1e-3) if right.numel() else torch.ones(())
    error = float(difference / scale)
    return {"name": name, "dtype": str(dtype)[6:], "error": error, "ok": same and error <= limit}


def largest(checks: list[dict[str, Any]]) -> dict[str, float]:
    errors: dict[str, float] = {}
    for check in checks:
        key = f"{check['name'].split(' ')[0]} {check['dtype']}"
        errors[key] = max(errors.get(key, 0.0), check["error"])
    return errors


def laid(tensor: Tensor, layout: str) -> Tensor:
    """The same values in another memory layout; "offset" is dense but not 16-byte aligned."""
    if layout == "channels_last":
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "offset":
        shape = (tensor.shape[0], tensor.shape[2], tensor.shape[3], tensor.shape[1])
        store = tensor.new_empty(tensor.numel() + 1)[1:].view(shape).permute(0, 3, 1, 2)
        return store.copy_(tensor)
    if layout == "sliced":
        return torch.cat([tensor, tensor], 1)[:, : tensor.shape[1]]
    return tensor.contiguous()


def check_adain(ops: Any) -> Iterator[dict[str, Any]]:
    from avatar.ops._adain import adain_reference

    torch.manual_seed(0)
    shapes = (
        (1, 192, 64, 64), (2, 64, 33, 17), (3, 40, 7, 5), (1, 3, 50, 41), (32, 128, 32, 32),
        (2, 256, 1, 1), (1, 7, 1, 9), (0, 8, 4, 4), (2, 16, 0, 3), (1, 64, 256, 256),
        (4, 520, 8, 8),
    )  # fmt: skip
    layouts = ("channels_last", "contiguous", "offset", "sliced")
    for shape, layout, dtype in itertools.product(shapes, layouts, DTYPES):
        for slope, add in ((0.2, True), (1.0, False), (0.0, False)):
            mean = 3.0 if dtype != torch.float32 else 300.0
            x = laid((torch.randn(shape, device="cuda") * 2 + mean).to(dtype), layout)
            style = [torch.randn(shape[:2], device="cuda") for _ in range(2)]
            residual = (
                laid(torch.randn(shape, device="cuda").to(dtype), "contiguous") if add else None
            )
            grad = torch.randn(shape, device="cuda").to(dtype)
            tensors = [x, *style] + ([residual] if residual is not None else [])
            here = [t.detach().requires_grad_() for t in tensors]
            wide = [t.detach().double().requires_grad_() for t in tensors]
            y = ops.adain(
                *here[:3], residual=here[3] if add else None, negative_slope=slope, eps=1e-3
            )
            right = y
            if x.numel():
                right = adain_reference(*wide[:3], wide[3] if add else None, slope, 1e-3)
            name = f"adain {list(shape)} {layout} slope={slope}"
            yield result(name, dtype, y, right, FORWARD_LIMIT[dtype])
            if not x.numel() or shape[2] * shape[3] == 1:
                continue
            # Where the sign of y is a matter of rounding, so is the gradient.
            grad = grad * (right.abs() > 0.05)
            found = torch.autograd.grad(y, here, grad)
            for which, a, b in zip(
                ("x", "scale", "shift", "residual"),
                found,
                torch.autograd.grad(right, wide, grad.double()),
                strict=False,
            ):
                yield result(f"adain.{which} {name[6:]}", dtype, a, b, BACKWARD_LIMIT[dtype])
    x = torch.randn(2, 32, 8, 8, device="cuda")
    x[1, 5, 3, 3] = torch.nan
    style = [torch.randn(2, 32, device="cuda") for _ in range(2)]
    for layout in ("channels_last", "contiguous"):
        found = ops.adain(laid(x, layout), *style)
        yield result(
            f"adain NaN {layout}",
            x.dtype,
            found,
            adain_reference(x.double(), *style, None, 1, 1e-5),
            2e-5,
        )


def check_warp(ops: Any) -> Iterator[dict[str, Any]]:
    from avatar.ops._warp import warp_reference

    torch.manual_seed(0)
    cases = (
        ((1, 64, 64, 64), (64, 64), (64, 64)), ((2, 40, 33, 17), (5, 9), (31, 50)),
        ((1, 3, 200, 300), (2, 2), (128, 96)), ((2, 7, 1, 9), (3, 1), (4, 5)),
        ((1, 4, 20, 20), (50, 60), (7, 1)), ((0, 8, 4, 4), (2, 2), (3, 3)),
        ((1, 16, 9, 9), (3, 3), (0, 4)),
    )  # fmt: skip
    layouts = ("channels_last", "contiguous", "offset", "sliced")
    for (shape, nodes, size), layout, dtype, padding in itertools.product(
        cases, layouts, (*DTYPES, torch.uint8), ("border", "zeros")
    ):
        image = torch.randn(shape, device="cuda") * (80 if dtype == torch.uint8 else 1)
        image = laid(
            image.abs().clamp_max(255).to(dtype) if dtype == torch.uint8 else image.to(dtype),
            layout,
        )
        reach = torch.tensor([shape[3] + 4.0, shape[2] + 4.0], device="cuda")[:, None, None]
        grid = torch.rand(shape[0], 2, *nodes, device="cuda") * reach - 2.5
        floating = dtype != torch.uint8
        here = [image.detach().requires_grad_(floating), grid.detach().requires_grad_(floating)]
        wide_image = image.detach().double().requires_grad_() if floating else image
        wide = [wide_image, grid.double().requires_grad_(floating)]
        y = ops.warp(*here, size, padding=padding)
        right = warp_reference(*wide, size, padding) if y.numel() else y
        name = f"warp {list(shape)} {nodes} to {size} {layout} {padding}"
        if not floating:  # a half may round to either side
            yield result(
                name,
                dtype,
                y,
                right,
                1.01 / 255 / max(float(right.max()) / 255, 1e-2) if right.numel() else 0.0,
            )
            continue
        yield result(name, dtype, y, right, 4 * FORWARD_LIMIT[dtype])
        if y.numel():
            grad = torch.randn(y.shape, device="cuda").to(dtype)
            found = torch.autograd.grad(y, here, grad)
            rights = torch.autograd.grad(right, wide, grad.double())
            yield result(
                f"warp.image {name[5:]}", dtype, found[0], rights[0], 4 * BACKWARD_LIMIT[dtype]
            )
            if nodes == size:  # elsewhere kinks at pixel borders fall to either side
                continue
            yield result(f"warp.grid {name[5:]}", dtype, found[1], rights[1], 0.05)


def check_spread(ops: Any) -> Iterator[dict[str, Any]]:
    from avatar.ops._spread import spread_reference
    from avatar.ops._spread_over_grid import spread_over_grid_reference

    torch.manual_seed(0)
    for places, count, weighted in itertools.product((0, 1, 700), (0, 1, 215), (False, True)):
        at, points, values = (torch.rand(3, n, 2, device="cuda") for n in (places, count, count))
        weights = torch.rand(3, count, device="cuda") if weighted else None
        wide = (t if t is None else t.double() for t in (at, points, values, weights))
        found = ops.spread(at, points, values, sigma=0.1, floor=0.05, weights=weights)
        name = f"spread {count} points to {places} weighted={weighted}"
        yield result(name, at.dtype, found, spread_reference(*wide, 0.1, 0.05), 2e-5)
    for rows, columns, count in itertools.product((0, 1, 65), (0, 1, 33), (0, 1, 215)):
        x, y = (torch.rand(n, device="cuda") for n in (columns, rows))
        points, values = (torch.rand(count, 2, device="cuda") for _ in range(2))
        wide = (t.double() for t in (x, y, points, values))
        found = ops.spread_over_grid(x, y, points, values, sigma=0.1, floor=0.05)
        right = spread_over_grid_reference(*wide, None, 0.1, 0.05)
        yield result(f"grid {count} points to {rows} x {columns}", x.dtype, found, right, 2e-5)


def check_compose(ops: Any) -> Iterator[dict[str, Any]]:
    from avatar.ops._compose import compose_reference

    torch.manual_seed(0)
    levels = torch.tensor([255.0, 255.0, 255.0, 1.0], device="cuda")[:, None, None]
    for (height, width), count in itertools.product(
        ((1, 1), (40, 77), (0, 5), (300, 200)), range(4)
    ):
        photo = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, device="cuda")
        positions = torch.rand(2, 5, 7, device="cuda") * (max(height, width) + 8) - 4
        region = (width // 5, height // 6, width, height - height // 7)
        layers = [
            ops.Layer(
                torch.rand(4, 33, 33, device="cuda") * levels,
                torch.tensor([[0.7, 0.2, -2.0 * k], [-0.2, 0.7, 3.0]], device="cuda"),
            )
            for k in range(count)
        ]
        found = ops.compose(photo, positions, region, layers)
        paints, maps = [x.paint.double() for x in layers], [x.to_paint.double() for x in layers]
        right = compose_reference(photo, positions.double(), region, paints, maps)
        # Each rounding may send a half to the other side.
        limit = (count + 1.01) / max(float(right.max()) if right.numel() else 1.0, 1.0)
        yield result(f"compose {[height, width]} {count} layers", photo.dtype, found, right, limit)


def milliseconds(work: Callable[[], object], rounds: int = 5, calls: int = 20) -> float:
    """The least mean over ``calls`` calls back to back."""
    for _ in range(3):
        work()
    best = float("inf")
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / calls)
    return round(best, 5)


def both_ways(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
    """The forward and the backward call of ``function`` on ``x``."""
    leaf, grad = x.detach().requires_grad_(), torch.randn_like(x)
    return lambda: torch.autograd.grad(function(leaf), leaf, grad)


def compared(
    op: str, x: Tensor, native: Callable[[Tensor], Tensor], eager: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    """Times of one call; torch eager in its faster layout."""
    last = laid(x, "channels_last")
    return {
        "op": op,
        "shape": list(x.shape),
        "dtype": str(x.dtype)[6:],
        "ms": milliseconds(lambda: native(last)),
        "torch_ms": min(milliseconds(lambda: eager(x)), milliseconds(lambda: eager(last))),
        "copy_ms": milliseconds(lambda: last.clone()),
        "with_backward_ms": milliseconds(both_ways(native, last)),
        "torch_with_backward_ms": min(
            milliseconds(both_ways(eager, x)), milliseconds(both_ways(eager, last))
        ),
    }


def time_adain(ops: Any) -> Iterator[dict[str, Any]]:
    for (batch, side, channels), dtype in itertools.product(TIMED, (torch.float32, torch.bfloat16)):
        x = torch.randn(batch, channels, side, side, device="cuda").to(dtype)
        scale, shift = (torch.randn(batch, channels, device="cuda") for _ in range(2))

        def eager(x: Tensor, scale: Tensor = scale, shift: Tensor = shift) -> Tensor:
            gain, offset = (t[:, :, None, None].to(x.dtype) for t in (scale, shift))
            return F.leaky_relu(F.instance_norm(x) * gain + offset, 0.2)

        def native(x: Tensor, scale: Tensor = scale, shift: Tensor = shift) -> Tensor:
            return ops.adain(x, scale, shift, negative_slope=0.2)

        yield compared("adain", x, native, eager)


def time_warp(ops: Any) -> Iterator[dict[str, Any]]:
    for (batch, side, channels), dtype in itertools.product(TIMED, (torch.float32, torch.bfloat16)):
        x = torch.randn(batch, channels, side, side, device="cuda").to(dtype)
        line = torch.arange(side, device="cuda") + 0.3
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"))[None].repeat(batch, 1, 1, 1)
        sample = ((2 * grid + 1) / side - 1).permute(0, 2, 3, 1).contiguous().to(dtype)

        def eager(x: Tensor, sample: Tensor = sample) -> Tensor:
            return F.grid_sample(x, sample, padding_mode="border", align_corners=False)

        def native(x: Tensor, grid: Tensor = grid) -> Tensor:
            return ops.warp(x, grid)

        yield compared("warp", x, native, eager)


def time_frame(ops: Any) -> Iterator[dict[str, Any]]:
    """The flow of 207 landmarks over a grid and a picture under three parts."""
    for side in (512, 1024):
        line = torch.linspace(0.0, side - 1.0, 85, device="cuda")
        points, values = (
            torch.rand(207, 2, device="cuda") * side,
            torch.randn(207, 2, device="cuda"),
        )
        photo = torch.randint(0, 256, (side, side, 3), dtype=torch.uint8, device="cuda")
        still = torch.stack(torch.meshgrid(line, line, indexing="xy"))
        to_paint = torch.tensor([[1.0, 0, -side / 3], [0, 1.0, -side / 3]], device="cuda")
        layers = [ops.Layer(torch.rand(4, n, n, device="cuda"), to_paint) for n in (192, 96, 96)]
        arguments = line, line, points, values

        def flow(arguments: tuple[Tensor, ...] = arguments, side: int = side) -> Tensor:
            found: Tensor = ops.spread_over_grid(*arguments, sigma=side / 20, floor=0.05)
            return found

        def picture(
            photo: Tensor = photo, positions: Tensor = still, layers: list[Any] = layers
        ) -> Tensor:
            region = (0, 0, photo.shape[1], photo.shape[0])
            found: Tensor = ops.compose(photo, positions, region, layers)
            return found

        for op, work in (("spread_over_grid", flow), ("compose", picture)):
            yield {
                "op": op,
                "shape": [side, side, 3],
                "dtype": "uint8" if op == "compose" else "float32",
                "ms": milliseconds(work),
                "copy_ms": milliseconds(photo.clone),
            }


if __name__ == "__main__":
    sys.exit(main())
