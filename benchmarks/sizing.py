"""How many sessions a core holds, and what a million take: ``python -m benchmarks.sizing``.

Arithmetic on ``benchmarks/results/server.json``, nothing is measured here. Prints the part of
``docs/serving.md`` that a test compares with it; ``--write`` puts it there.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "server.json"
PAGE = ROOT / "docs" / "serving.md"
BEGIN, END = "<!-- sizing:", "<!-- end of sizing -->"

FPS = 25
LOAD = 0.7
"""Of a core that sessions may take; beyond it frames wait for each other."""
MACHINE_CORES = 64
MILLION = 1_000_000
SOUND_BYTES_PER_SECOND = 32_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/serving.md")
    text = sizing(json.loads(RESULT.read_text()))
    if not parser.parse_args().write:
        print(text)
        return
    page = PAGE.read_text()
    begin = page.index("\n", page.index(BEGIN)) + 1
    PAGE.write_text(page[:begin] + text + page[page.index(END) :])


def sizing(result: dict[str, Any]) -> str:
    """The part of the page."""
    grouped = result.get("motion_streams_grouped")
    kinds = {
        "curves (52 blendshapes)": result["motion_streams"],
        **(
            {f"curves, {grouped['frames_per_message']} frames an answer": grouped}
            if grouped
            else {}
        ),
        "pictures (512² JPEG)": result["video_streams"],
    }
    lines = [
        f"Measured on {result['machine']['cores']} cores ({result['machine']['processor']}) with "
        "`python -m benchmarks.server`, the client on the same cores. At "
        f"{FPS} frames a second, with {LOAD:.0%} of a core for sessions:",
        "",
        "| a session of | CPU of the server for a frame | sessions on a core | bytes of a frame "
        "| megabits a second out |",
        "|---|---|---|---|---|",
    ]
    for name, held in kinds.items():
        milliseconds, size = held["server_cpu_milliseconds_per_frame"], held["bytes_per_frame"]
        megabits = 8 * size * FPS / 1e6
        lines.append(
            f"| {name} | {milliseconds:g} ms | {per_core(held):.1f} | {size:,} | {megabits:.2g} |"
        )
    lines += [
        "",
        f"A million sessions at once, on machines of {MACHINE_CORES} such cores; each sends "
        f"{8 * SOUND_BYTES_PER_SECOND / 1e6:.2g} megabits a second of 16 kHz PCM16:",
        "",
        "| sessions of | cores | machines | terabits a second out | in |",
        "|---|---|---|---|---|",
    ]
    incoming = 8 * SOUND_BYTES_PER_SECOND * MILLION / 1e12
    for name, held in kinds.items():
        cores = MILLION / per_core(held)
        outgoing = 8 * held["bytes_per_frame"] * FPS * MILLION / 1e12
        machines = math.ceil(cores / MACHINE_CORES)
        lines.append(
            f"| {name} | {round(cores):,} | {machines:,} | {outgoing:.2g} | {incoming:.2g} |"
        )
    lines += [
        "",
        "cores = sessions × frames a second × CPU seconds of a frame ÷ load. Most callers listen "
        "most of the time: a session that is idle without `idle_frames` costs nothing but its "
        "place, so count those that speak at once. Opus in and H.264 out take less of the network "
        "and more CPU. Where the viewer's machine draws the face, curves are enough.",
        "",
    ]
    return "\n".join(lines)


def per_core(held: dict[str, Any]) -> float:
    """Sessions of this kind that one core holds."""
    return float(LOAD / (held["server_cpu_milliseconds_per_frame"] * 1e-3 * FPS))


if __name__ == "__main__":
    main()
