"""What is installed, which kernels run and how fast, and what would make it faster."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

import avatar
from avatar.errors import AvatarError
from avatar.face import MediaPipeDetector
from avatar.ops import adain, native_status, warp
from avatar.ops._adain import adain_reference
from avatar.ops._warp import warp_reference

_ENCODERS = {
    "libx264": "H.264 for MP4",
    "aac": "sound for MP4",
    "libvpx-vp9": "VP9 for WebM",
    "libopus": "sound for WebM",
}
_ROUNDS = 15


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: of the thing.
        found: what was found.
        ok: whether avatars can be made with it.
        advice: what to do where it is missing or makes things slow; empty where all is well.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""


def examine() -> list[Check]:
    """Look at everything; takes about a second, changes nothing."""
    return [
        Check("avatar", avatar.__version__),
        Check("python", f"{platform.python_version()} on {platform.platform()}"),
        _torch(),
        _processor(),
        _threads(),
        _kernels(),
        *_speeds(),
        *_models(),
        _detector(),
        *_encoders(),
    ]


def show(checks: list[Check]) -> None:
    """Print the checks as a table, and below it what to do."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        mark = "[red]✗[/]" if not check.ok else "[yellow]![/]" if check.advice else "[green]✓[/]"
        table.add_row(mark, check.name, check.found)
    console.print(table)
    for check in checks:
        if check.advice:
            console.print(f"{check.name}: {check.advice}", soft_wrap=True, markup=False)


def _torch() -> Check:
    if torch.version.cuda is None:
        return Check("torch", f"{torch.__version__}, CPU build")
    seen = "a GPU is visible" if torch.cuda.is_available() else "no GPU is visible"
    return Check("torch", f"{torch.__version__}, CUDA {torch.version.cuda} build, {seen}")


def _processor() -> Check:
    level = torch.backends.cpu.get_cpu_capability()
    slow = level in ("DEFAULT", "NO AVX")
    return Check(
        "processor",
        f"{_processor_name()}, {level}",
        advice="it has no AVX2, so expect a third of the usual speed" if slow else "",
    )


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _threads() -> Check:
    cores, threads = _cores(), torch.get_num_threads()
    advice = ""
    if threads > cores + 0.5:
        advice = f"more threads than cores slow each other down; set OMP_NUM_THREADS={int(cores)}"
    elif cores < 2:
        advice = "two cores are needed for real time at 512 pixels"
    elif threads < 2:
        advice = "torch uses one thread; unset OMP_NUM_THREADS or set it to the number of cores"
    return Check("threads", f"{threads} on {cores:g} usable cores", advice=advice)


def _cores() -> float:
    """Cores this process may use: its affinity, or less where a container limits its share."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return min(float(allowed), int(quota) / int(period))
    except (OSError, ValueError):
        return float(allowed)


def _kernels() -> Check:
    status = native_status()
    if status.built:
        cuda = ", CUDA kernels built" if status.cuda_built else ""
        return Check("kernels", f"native, {status.isa}{cuda}")
    advice = "install a C++ compiler and reinstall the package: frames come several times faster"
    return Check("kernels", f"plain torch ({status.problem})", advice=advice)


def _speeds() -> Iterator[Check]:
    """Time each operation at a size the generator uses, beside its plain-torch reference."""
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(1, 128, 64, 64, generator=generator).to(memory_format=torch.channels_last)
    style = torch.randn(1, 128, generator=generator)
    grid = _identity_grid(17, 64) + 0.25
    native = native_status().built
    pairs: tuple[tuple[str, Callable[[], Tensor], Callable[[], Tensor]], ...] = (
        (
            "adain 64²×128",
            lambda: adain(feature, style, style, negative_slope=0.2),
            lambda: adain_reference(feature, style, style, None, 0.2, 1e-5),
        ),
        (
            "warp 64²×128",
            lambda: warp(feature, grid, (64, 64)),
            lambda: warp_reference(feature, grid, (64, 64), "border"),
        ),
    )
    for name, used, reference in pairs:
        with torch.inference_mode():
            fast, plain = _milliseconds(used), _milliseconds(reference)
        slow = native and fast > plain
        yield Check(
            name,
            f"{fast:.3f} ms, plain torch {plain:.3f} ms",
            advice="slower than plain torch: is the machine busy?" if slow else "",
        )


def _identity_grid(nodes: int, size: int) -> Tensor:  # [1, 2, nodes, nodes]
    line = torch.linspace(0.0, size - 1.0, nodes)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of a few runs."""
    times = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return sorted(times)[_ROUNDS // 2] * 1e3


def _models() -> Iterator[Check]:
    folder = Path(avatar.__file__).parent / "weights"
    configs = sorted(folder.glob("*.json"))
    reinstall = "reinstall the package"
    if not configs:
        yield Check("models", "none found", ok=False, advice=reinstall)
    for config in configs:
        tensors = config.with_suffix(".safetensors")
        name = f"model {config.stem}"
        try:
            expected = json.loads(config.read_text(encoding="utf-8"))["sha256"]
            data = tensors.read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield Check(name, f"unreadable ({error})", ok=False, advice=reinstall)
            continue
        digest = hashlib.sha256(data).hexdigest()
        good = digest == expected
        found = f"{len(data) / 1e6:.1f} MB, sha256 {digest[:12]}"
        yield Check(name, found, ok=good, advice="" if good else f"damaged: {reinstall}")


def _detector() -> Check:
    try:
        version = importlib.metadata.version("mediapipe")
        MediaPipeDetector().detect(np.zeros((64, 64, 3), np.uint8))
    except (importlib.metadata.PackageNotFoundError, AvatarError) as error:
        return Check("detector", str(error), ok=False, advice="pip install mediapipe==0.10.30")
    return Check("detector", f"MediaPipe {version}")


def _encoders() -> Iterator[Check]:
    for codec, use in _ENCODERS.items():
        try:
            av.Codec(codec, "w")
        except ValueError:
            yield Check(f"encoder {codec}", f"missing: no {use}", ok=False, advice="reinstall av")
        else:
            yield Check(f"encoder {codec}", use)
