"""A contact sheet: for each photo a row of moments of one utterance, with the mouth enlarged.

    python -m avatar.evaluation.sheet PHOTO... --audio speech.wav -o sheet.png

The utterance is cut into equal parts; from one the widest mouth is shown, from the next the most
closed, in turn. Below each head is its mouth, enlarged. Rows hold the photo itself first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from avatar import Avatar, AvatarError, Clip, Frame, Landmarks, load_image
from avatar.errors import OutputError
from avatar.evaluation.lips import lip_opening
from avatar.types import FloatArray, ImageArray

_CELL = 256
_LABEL = 16
_OUTER_EYES = (33, 263)
_LIPS = (13, 14, 61, 291)
_HEAD_SIDE, _MOUTH_SIDE = 4.0, 1.15
"""Sides of the crops, in distances between the outer eye corners."""


def sheet(photos: Sequence[Path], audio: Path, *, moments: int = 8, seed: int = 0) -> Image.Image:
    """The contact sheet as a picture; rows in the order of ``photos``.

    Args:
        photos: images of people.
        audio: what each of them says.
        moments: pictures a row, beside the photo.
        seed: as in ``Avatar.speak``.

    Raises:
        AvatarError: a photo or the audio cannot be used.
    """
    rows = [_row(photo, audio, moments, seed) for photo in photos]
    page = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def chosen(clip: Clip, moments: int) -> list[Frame]:
    """At most ``moments`` frames: of equal parts in turn the widest mouth and the most closed."""
    edges = np.linspace(0, len(clip), min(moments, len(clip)) + 1).astype(int)
    best: list[tuple[float, Frame]] = []
    for frame in clip:
        part = int(np.searchsorted(edges, frame.index, side="right")) - 1
        opening = lip_opening(frame.landmarks) * (1 if part % 2 == 0 else -1)
        if part == len(best):
            best.append((opening, frame))
        elif opening > best[part][0]:
            best[part] = (opening, frame)
    return [frame for _, frame in best]


def _row(photo: Path, audio: Path, moments: int, seed: int) -> Image.Image:
    clip = Avatar.from_image(photo).speak(audio, seed=seed)
    frames = chosen(clip, moments)
    source = load_image(photo)
    cells = [_cell(source, frames[0].landmarks, photo.name)]
    for frame in frames:
        label = f"{frame.pts_seconds:.2f} s, open {lip_opening(frame.landmarks):.3f}"
        assert frame.image is not None
        cells.append(_cell(frame.image, frame.landmarks, label))
    row = Image.new("RGB", (_CELL * (moments + 1), cells[0].height), "white")
    for place, cell in enumerate(cells):
        row.paste(cell, (place * _CELL, 0))
    return row


def _cell(image: ImageArray, landmarks: Landmarks, label: str) -> Image.Image:
    """The head, the mouth below it, and a line of text."""
    points = landmarks.points[:, :2]
    eyes = float(np.linalg.norm(points[_OUTER_EYES[1]] - points[_OUTER_EYES[0]]))
    head = (points.min(axis=0) + points.max(axis=0)) / 2
    mouth = points[list(_LIPS)].mean(axis=0)
    picture = Image.fromarray(image)
    cell = Image.new("RGB", (_CELL, 2 * _CELL + _LABEL), "white")
    cell.paste(_square(picture, head, _HEAD_SIDE * eyes), (0, 0))
    cell.paste(_square(picture, mouth, _MOUTH_SIDE * eyes), (0, _CELL))
    ImageDraw.Draw(cell).text((3, 2 * _CELL + 2), label, fill="black")
    return cell


def _square(picture: Image.Image, middle: FloatArray, side: float) -> Image.Image:
    """A square of ``picture`` scaled to a cell; what lies outside the picture is black."""
    left, top = (round(float(place) - side / 2) for place in middle)
    part = picture.crop((left, top, left + round(side), top + round(side)))
    return part.resize((_CELL, _CELL), Image.Resampling.BICUBIC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    parser = argparse.ArgumentParser("avatar.evaluation.sheet", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--audio", required=True, type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--moments", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        page = sheet(given.photos, given.audio, moments=given.moments, seed=given.seed)
        _save(page, given.output)
    except AvatarError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.output}: {page.width}×{page.height}")
    return 0


def _save(page: Image.Image, path: Path) -> None:
    try:
        page.save(path)
    except (OSError, ValueError) as reason:
        raise OutputError(f"{path}: could not be written ({reason})") from None


if __name__ == "__main__":
    sys.exit(main())
