"""Write the figures of ``benchmarks/results`` into the README and ``docs/reenactment.md``, and draw
those of the operations.

    python docs/measured.py            # rewrite the sections and the drawing
    python docs/measured.py --check    # end with 1 where one is out of date

No figure is typed by hand: what stands between the two marks is replaced as a whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avatar.evaluation.reenactment_report import as_markdown

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "end_to_end.json"
OPS = ROOT / "benchmarks" / "results" / "ops_cpu.json"
DRAWING = ROOT / "docs" / "ops_cpu.svg"
README = ROOT / "README.md"
GENERATOR = ROOT / "benchmarks" / "results" / "generator.json"
REENACTMENT = ROOT / "docs" / "reenactment.md"
BEGIN, END = "<!-- measured: python docs/measured.py -->", "<!-- end of measured -->"


def section() -> str:
    """The text between the marks."""
    if not RESULT.exists():
        return "Nothing is recorded yet: `make bench` measures and writes `benchmarks/results/`.\n"
    result = json.loads(RESULT.read_text())
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    rows = [f"| {name} | {value} |" for name, value in figures(result)]
    table = "\n".join(["| what | value |", "|---|---|", *rows])
    whole = f"By `{result['command']}` on: {machine}.\n\n{table}\n"
    return f"{whole}\n{operations(json.loads(OPS.read_text()))}"


def operations(result: dict[str, Any]) -> str:
    """The operations beside plain torch: a table and the drawing."""
    head = "| op | shape | type | ms | eager | eager, in place | compiled | copies |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        shape = " × ".join(str(n) for n in row["shape"] if n != 1) or "1"
        ratios = [
            f"{row[f'{name}_ms'] / row['ms']:.1f} ×" if f"{name}_ms" in row else ""
            for name in ("eager", "eager_in_place", "compiled")
        ]
        cells = [row["op"], shape, row["dtype"], f"{row['ms']:.3f}", *ratios, row.get("copies", "")]
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    said = (
        f"The operations by `{result['command']}`, kernels {result['isa']}, torch "
        f"{result['torch']}. How many times faster they are than torch in its better layout, and "
        "how long they take beside a copy of the same bytes:"
    )
    table = "\n".join(rows)
    return f"{said}\n\n{table}\n\n![Times faster than eager torch](docs/{DRAWING.name})\n"


def drawn(result: dict[str, Any]) -> str:
    """A bar for each comparison with eager torch, as SVG."""
    rows = [row for row in result["rows"] if "times_faster_than_eager" in row]
    high, left, wide = 18, 220, 460
    scale = wide / max(row["times_faster_than_eager"] for row in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 60}" '
        f'height="{high * len(rows) + 30}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="8" y="16">times faster than eager torch, in its better layout</text>',
    ]
    for i, row in enumerate(rows):
        y, length = high * i + 26, row["times_faster_than_eager"] * scale
        name = f"{row['op']} {' × '.join(map(str, row['shape'][1:]))} {row['dtype']}"
        colour = {"adain": "#4878a8", "warp": "#e08214"}[row["op"]]
        lines += [
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{name}</text>',
            f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{high - 5}" '
            f'fill="{colour}"/>',
            f'<text x="{left + length + 4:.1f}" y="{y + 12}">'
            f"{row['times_faster_than_eager']}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def figures(result: dict[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Every single value of the result by a readable name; lists of runs are left out."""
    for name, value in result.items():
        words = f"{above} {name}".replace("_", " ").strip()
        if isinstance(value, dict) and name != "machine":
            yield from figures(value, words)
        elif not isinstance(value, dict | list) and name != "command":
            yield words, value


def written(document: Path, text: str) -> str:
    """The document with ``text`` between its marks."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{document.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wanted = {
        DRAWING: drawn(json.loads(OPS.read_text())),
        README: written(README, section()),
        REENACTMENT: written(REENACTMENT, as_markdown(json.loads(GENERATOR.read_text()))),
    }
    if check:
        return int(any(path.read_text() != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
