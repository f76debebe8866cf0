"""The figures of ``reenactment`` as JSON and Markdown, its pictures as a contact sheet."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw

from avatar.evaluation.likeness import MEASURES, REGIONS
from avatar.evaluation.reenactment import PLAIN, STILL, WARPED, Results
from avatar.weights import load_weights

_LABEL, _MARGIN = 14, 150
_COLUMNS = (
    ("mouth LPIPS, wide third", "mouth.lpips_wide", 3),
    ("of plain warp", "ratio", 2),
    ("of own warp", "ratio_to_warped", 2),
    *((f"{region} {measure.upper()}", f"{region}.{measure}", 1 if measure == "psnr" else 3)
      for region in REGIONS for measure in MEASURES),
    ("identity", "identity", 2),
    ("landmarks %", "landmarks_percent", 2),
    ("flicker", "flicker", 2),
)  # fmt: skip


def as_json(results: Results, command: str) -> dict[str, Any]:
    """Everything, rounded."""
    return {
        "command": command,
        "weights_sha256": load_weights("generator")[1]["sha256"],
        "measures": (
            "self-reenactment by the landmarks of the true frame; LPIPS (AlexNet), SSIM and PSNR "
            "on normalised patches; mouth.lpips_wide: frames of the third with the widest lips; "
            "the first photo has the mouth most closed; identity: distance of dlib's descriptor to "
            "the first photo's; landmarks_percent: MediaPipe on the frame drawn, of the distance "
            "between the outer eye corners; flicker: mean difference of the changes from frame to "
            "frame, of 255"
        ),
        "groups": _rounded(results.groups()),
        "people": _rounded(results.people),
    }


def as_markdown(figures: dict[str, Any]) -> str:
    """A table for each group of people, from what ``as_json`` gives."""
    groups = [person["group"] for person in figures["people"].values()]
    parts = []
    for group, scores in figures["groups"].items():
        count = len(groups) if group == "all" else groups.count(group)
        title = f"**{group}**, {count} {'person' if count == 1 else 'people'}"
        rows = ["| | " + " | ".join(name for name, _, _ in _COLUMNS) + " |"]
        rows.append("|---" * (len(_COLUMNS) + 1) + "|")
        bases = {"ratio": PLAIN, "ratio_to_warped": WARPED}
        for variant, measures in scores.items():
            wide = "mouth.lpips_wide"
            ratios = {name: measures[wide] / scores[base][wide] for name, base in bases.items()}
            values = {**measures, **ratios}
            cells = [
                f"{values[key]:.{digits}f}" if key in values else "–" for _, key, digits in _COLUMNS
            ]
            rows.append(f"| {variant} | " + " | ".join(cells) + " |")
        parts.append("\n".join([title, "", *rows]))
    return "\n\n".join(parts) + "\n"


def contact_sheet(results: Results) -> Image.Image:
    """A row for each person: the photo, the true frame, and the frame as each variant draws it."""
    rows = list(results.pictures.items())
    columns = [column for column in rows[0][1] if column != STILL]
    height, width = rows[0][1]["true"].shape[:2]
    page = Image.new("RGB", (_MARGIN + width * len(columns), _LABEL + height * len(rows)), "white")
    pen = ImageDraw.Draw(page)
    for x, column in enumerate(columns):
        pen.text((_MARGIN + x * width + 3, 1), column, fill="black")
    for y, (name, pictures) in enumerate(rows):
        top = _LABEL + y * height
        pen.text((3, top + 3), name, fill="black")
        for x, column in enumerate(columns):
            page.paste(Image.fromarray(pictures[column]), (_MARGIN + x * width, top))
    return page


def _rounded(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _rounded(value) for key, value in values.items()}
    return round(values, 4) if isinstance(values, float) else values
