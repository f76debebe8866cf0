"""Networks of other systems beside ours, on the same cores: ``python -m benchmarks.peers``.

Nothing of theirs is in this repository: name the folder of a checkout that you have.

    python -m benchmarks.peers --wav2lip ~/Wav2Lip --liveportrait ~/LivePortrait \\
        --first-order-model ~/first-order-model

Only what runs for every frame is timed, in eager torch, float32, one picture at a time, with as
many threads as torch takes by default. Weights are random where none are given: the time of a
convolution does not depend on its weights. What a network needs besides torch must be installed.

Ours is timed in the same process, by the same clock, at 512²: motion, landmarks, warp, decoders and
paste-back, so more of the whole than of theirs, whose warping of the photo's own pixels, blending
and face alignment come on top. Writes ``benchmarks/results/peers.json``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from avatar import Avatar
from avatar.bench import example_portrait, machine, stage_seconds

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "peers.json"
SECONDS = 8.0


@dataclass(frozen=True)
class Peer:
    """A network of another system.

    Attributes:
        name: of the system.
        size: side of the picture that its network makes, in pixels.
        build: makes the per-frame work from the folder of a checkout.
    """

    name: str
    size: int
    build: Callable[[Path], Callable[[], object]]


def wav2lip(folder: Path) -> Callable[[], object]:
    """Wav2Lip's generator: 16 mel columns and one 96² face with its reference."""
    network = _module(folder, "models").Wav2Lip().eval()
    mel, faces = torch.rand(1, 1, 80, 16), torch.rand(1, 6, 96, 96)
    return lambda: network(mel, faces)


def first_order_model(folder: Path) -> Callable[[], object]:
    """Keypoints of the driving frame, then the generator with dense motion, 256²."""
    config = _settings(folder / "config" / "vox-256.yaml")
    common = config["common_params"]
    keypoints = _module(folder, "modules.keypoint_detector").KPDetector(
        **config["kp_detector_params"], **common
    )
    generator = _module(folder, "modules.generator").OcclusionAwareGenerator(
        **config["generator_params"], **common
    )
    keypoints.eval()
    generator.eval()
    source, driving = torch.rand(1, 3, 256, 256), torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        of_source = keypoints(source)
    return lambda: generator(source, kp_source=of_source, kp_driving=keypoints(driving))


def liveportrait(folder: Path) -> Callable[[], object]:
    """Motion of the driving frame, warping module and SPADE generator, 512²."""
    config = _settings(folder / "src" / "config" / "models.yaml")
    motion = _module(folder, "src.modules.motion_extractor").MotionExtractor(
        **config["motion_extractor_params"]
    )
    warping = _module(folder, "src.modules.warping_network").WarpingNetwork(
        **config["warping_module_params"]
    )
    decoder = _module(folder, "src.modules.spade_generator").SPADEDecoder(
        **config["spade_generator_params"]
    )
    for network in (motion, warping, decoder):
        network.eval()
    feature, driving = torch.rand(1, 32, 16, 64, 64), torch.rand(1, 3, 256, 256)
    points = torch.rand(1, 21, 3)

    def frame() -> object:
        motion(driving)
        warped = warping(feature, kp_driving=points, kp_source=points)
        return decoder(feature=warped["out"])

    return frame


PEERS = (
    Peer("wav2lip", 96, wav2lip),
    Peer("first-order-model", 256, first_order_model),
    Peer("liveportrait", 512, liveportrait),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for peer in PEERS:
        parser.add_argument(f"--{peer.name}", type=Path, help=f"checkout of {peer.name}")
    given = vars(parser.parse_args())
    folders = {peer: given[peer.name.replace("-", "_")] for peer in PEERS}
    chosen = {peer: folder for peer, folder in folders.items() if folder is not None}
    if not chosen:
        parser.error("name at least one checkout")
    result: dict[str, Any] = {
        "command": "python -m benchmarks.peers",
        "machine": machine(),
        "milliseconds_per_frame": {"ours": {"size": 512, "median": ours()}},
    }
    for peer, folder in chosen.items():
        print(f"timing {peer.name} …", file=sys.stderr)
        result["milliseconds_per_frame"][peer.name] = {
            "size": peer.size,
            "median": milliseconds(peer.build(folder.expanduser().resolve())),
        }
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def ours() -> float:
    """Motion and drawing of a 512² frame, one after the other on one core."""
    stages = stage_seconds(Avatar.from_image(example_portrait()), 512, seconds=SECONDS)
    each = [a + b for a, b in zip(stages["motion"], stages["draw"], strict=True)]
    return round(statistics.median(each) * 1e3, 2)


@torch.inference_mode()
def milliseconds(work: Callable[[], object]) -> float:
    """Median over as many runs as fit, at least three, after one to warm up."""
    work()
    times: list[float] = []
    deadline = time.perf_counter() + SECONDS
    while len(times) < 3 or time.perf_counter() < deadline:
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1e3, 2)


def _settings(path: Path) -> Any:
    """What a checkout says about the sizes of its networks."""
    try:
        import yaml
    except ImportError as error:
        raise SystemExit("reading the settings of this system needs: pip install pyyaml") from error
    return yaml.safe_load(path.read_text())["model_params"]


def _module(folder: Path, name: str) -> Any:
    """A module of a checkout; those of another checkout by the same name are put aside."""
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; name the folder of a checkout")
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    if loaded is not None and str(folder) not in str(getattr(loaded, "__path__", "")):
        for key in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
            del sys.modules[key]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{folder}: cannot import {name} ({error})") from error
    finally:
        sys.path.remove(str(folder))


if __name__ == "__main__":
    main()
