"""Write the figures of ``benchmarks/results/end_to_end.json`` into the README.

    python docs/measured.py            # rewrite the section
    python docs/measured.py --check    # end with 1 where it is out of date

No figure is typed by hand: the section between the two marks is replaced as a whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "end_to_end.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- measured: python docs/measured.py -->", "<!-- end of measured -->"


def section() -> str:
    """The text between the marks."""
    if not RESULT.exists():
        return "Nothing is recorded yet: `make bench` measures and writes `benchmarks/results/`.\n"
    result = json.loads(RESULT.read_text())
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    rows = [f"| {name} | {value} |" for name, value in figures(result)]
    table = "\n".join(["| what | value |", "|---|---|", *rows])
    return f"By `{result['command']}` on: {machine}.\n\n{table}\n"


def figures(result: dict[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Every single value of the result by a readable name; lists of runs are left out."""
    for name, value in result.items():
        words = f"{above} {name}".replace("_", " ").strip()
        if isinstance(value, dict) and name != "machine":
            yield from figures(value, words)
        elif not isinstance(value, dict | list) and name != "command":
            yield words, value


def written(readme: str) -> str:
    """``readme`` with the section as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{README.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section()}{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    readme = README.read_text()
    if check:
        return int(written(readme) != readme)
    README.write_text(written(readme))
    return 0


if __name__ == "__main__":
    sys.exit(main())
