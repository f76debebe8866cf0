"""The picture that is drawn: the photo where nothing moves, a painted mouth where it opens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion

from avatar.errors import WeightsError
from avatar.generator import Generator, Portrait
from avatar.generator.networks import PartConfig, PartGenerator
from avatar.generator.parts import LEFT_EYE_PART, MOUTH, RIGHT_EYE_PART, Part, Placement
from avatar.generator.warping import INNER_LIPS, OUTER_LIPS
from avatar.types import Face, FloatArray, ImageArray, Landmarks
from avatar.weights import load_weights, save_weights

PARTS = (MOUTH, RIGHT_EYE_PART, LEFT_EYE_PART)
Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def bare() -> Generator:
    """Networks that add nothing: what it draws is the warp alone."""
    _, config = load_weights("generator")
    torch.manual_seed(0)
    return Generator(
        {name: PartGenerator(PartConfig(**sizes)) for name, sizes in config["parts"].items()}
    )


def polygon(corners: NDArray[np.float32], image: ImageArray) -> Mask:  # [N, 2] pixels
    """The pixels within a polygon."""
    height, width = image.shape[:2]
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.array(mask)


def inside(points: FloatArray, ring: tuple[int, ...], image: ImageArray) -> Mask:
    return polygon(points[list(ring), :2], image)


def square(points: FloatArray, part: Part, image: ImageArray) -> Mask:
    """The pixels of a part's square."""
    place = Placement.of(part, torch.from_numpy(points[None, :, :2]))
    return polygon(place.grid()[0].flatten(1).T.numpy()[[0, 1, 3, 2]], image)


def difference(a: ImageArray, b: ImageArray) -> NDArray[np.float32]:
    """Largest over the channels, ``[H, W]``."""
    off: NDArray[np.float32] = np.abs(a.astype(np.float32) - b).max(-1)
    return off


def test_a_face_that_stays_is_the_photo(generator: Generator, sitter: Any) -> None:
    drawn = generator.render(sitter.portrait, sitter.points)
    off = difference(drawn, sitter.image)
    parts = np.any([square(sitter.points, part, sitter.image) for part in PARTS], 0)
    assert (off[~binary_dilation(parts, iterations=2)] == 0).all()
    assert off[parts].mean() < 8
    assert off.mean() < 1


def test_what_lies_outside_the_region_never_changes(generator: Generator, sitter: Any) -> None:
    moved = sitter.pose(jawOpen=0.7, mouthSmile=0.5, browInnerUp=1.0)
    moved[:, :2] += 0.2 * sitter.unit
    drawn = generator.render(sitter.portrait, moved)
    left, top, right, bottom = sitter.portrait.region
    outside = np.ones(sitter.image.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert (drawn[outside] == sitter.image[outside]).all()
    assert (drawn != sitter.image).any()


def test_each_picture_is_the_callers_own(generator: Generator, sitter: Any) -> None:
    first = generator.render(sitter.portrait, sitter.points)
    kept = first.copy()
    first[:] = 0
    assert (generator.render(sitter.portrait, sitter.points) == kept).all()
    assert (sitter.portrait.photo == sitter.image).all()
    assert kept.dtype == np.uint8
    assert kept.flags.writeable
    assert kept.flags.c_contiguous


def test_the_landmarks_given_are_not_changed(generator: Generator, sitter: Any) -> None:
    wanted = sitter.pose(jawOpen=0.3)
    kept = wanted.copy()
    generator.render(sitter.portrait, wanted)
    assert (wanted == kept).all()


def test_the_same_landmarks_give_the_same_bits(generator: Generator, sitter: Any) -> None:
    open_mouth, calm = sitter.pose(jawOpen=0.5), sitter.pose()
    first = generator.render(sitter.portrait, open_mouth)
    generator.render(sitter.portrait, calm)
    assert (generator.render(sitter.portrait, open_mouth) == first).all()
    assert (Generator.load().render(sitter.portrait, open_mouth) == first).all()


def test_the_number_of_threads_changes_rounding_at_most(generator: Generator, sitter: Any) -> None:
    open_mouth, threads = sitter.pose(jawOpen=0.5), torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            drawn.append(generator.render(sitter.portrait, open_mouth))
    finally:
        torch.set_num_threads(threads)
    off = difference(drawn[0], drawn[1])
    assert off.max() <= 3
    assert (off > 0).mean() < 0.01


def test_an_open_mouth_is_painted(generator: Generator, bare: Generator, sitter: Any) -> None:
    wanted = sitter.pose(jawOpen=0.6)
    drawn = generator.render(sitter.portrait, wanted)
    warped = bare.render(sitter.portrait, wanted)
    hole = binary_erosion(inside(wanted, INNER_LIPS, drawn), iterations=2)
    lips = inside(wanted, OUTER_LIPS, drawn) & ~inside(wanted, INNER_LIPS, drawn)
    assert hole.sum() > 50
    assert difference(drawn, warped)[hole].mean() > 25
    light = drawn.astype(np.float32).mean(-1)
    assert light[hole].min() < 0.75 * light[lips].mean()
    assert light[hole].std() > 5


def test_a_cavity_appears_behind_closed_lips(
    generator: Generator, bare: Generator, hopper: Any
) -> None:
    """The photo shows no inside of a mouth, so the warp can only stretch lips."""
    wanted = hopper.pose(jawOpen=0.6)
    hole = binary_erosion(inside(wanted, INNER_LIPS, hopper.image), iterations=2)
    lips = inside(wanted, OUTER_LIPS, hopper.image) & ~inside(wanted, INNER_LIPS, hopper.image)
    drawn = generator.render(hopper.portrait, wanted).astype(np.float32)
    assert drawn[hole].mean() < 0.6 * drawn[lips].mean()


def test_nothing_of_the_photo_is_kept_inside_the_lips(generator: Generator, hopper: Any) -> None:
    """Its pixels at full size are given up there; only the patch is shown."""
    wanted = hopper.pose(jawOpen=0.6)
    flat = dataclasses.replace(hopper.portrait, planes=torch.zeros_like(hopper.portrait.planes))
    drawn, without = (generator.render(portrait, wanted) for portrait in (hopper.portrait, flat))
    hole = binary_erosion(inside(wanted, INNER_LIPS, drawn), iterations=6)
    lips = inside(wanted, OUTER_LIPS, drawn) & ~inside(wanted, INNER_LIPS, drawn)
    assert hole.sum() > 50
    assert difference(drawn, without)[hole].max() <= 1
    assert difference(drawn, without)[lips].mean() > 25


def test_a_closed_mouth_is_hardly_painted(
    generator: Generator, bare: Generator, hopper: Any
) -> None:
    """Against the open mouth of the same person."""
    paint = []
    for weight in (0.0, 0.6):
        wanted = hopper.pose(jawOpen=weight)
        drawn = generator.render(hopper.portrait, wanted)
        off = difference(drawn, bare.render(hopper.portrait, wanted))
        paint.append(off[inside(wanted, OUTER_LIPS, drawn)].mean())
    assert paint[0] < 12
    assert paint[0] < 0.35 * paint[1]


@pytest.mark.parametrize("weights", [{}, {"jawOpen": 0.7}, {"eyeBlink": 0.8}, {"mouthSmile": 0.8}])
def test_no_square_is_seen_around_the_paint(
    generator: Generator, bare: Generator, sitter: Any, weights: dict[str, float]
) -> None:
    wanted = sitter.pose(**weights)
    drawn = generator.render(sitter.portrait, wanted)
    paint = drawn.astype(np.float32) - bare.render(sitter.portrait, wanted)
    squares = [square(wanted, part, drawn) for part in PARTS]
    anywhere = np.any(squares, 0)
    assert (paint[~binary_dilation(anywhere, iterations=2)] == 0).all()
    borders = [binary_dilation(s, iterations=2) & ~binary_erosion(s, iterations=2) for s in squares]
    others = [np.any([binary_erosion(s, iterations=3) for j, s in enumerate(squares) if j != k], 0)
              for k in range(len(squares))]  # fmt: skip
    for border, other in zip(borders, others, strict=True):
        assert np.abs(paint[border & ~other]).max() <= 4
    jumps = np.abs(np.diff(paint, axis=0)).max(-1)
    edge = np.any(borders, 0)[1:] & ~np.any(others, 0)[1:]
    within = np.any([binary_erosion(s, iterations=3) for s in squares], 0)[1:]
    assert jumps[edge].max() <= jumps[within].max()


@pytest.mark.parametrize("turn", [(0.05, 0.0), (0.0, 0.05)])
def test_nothing_tears_at_the_border_of_the_region(
    generator: Generator, sitter: Any, turn: tuple[float, float]
) -> None:
    """Where the region ends inside the picture, the picture there must stay where it is."""
    moved = sitter.points + np.array([*turn, 0.0], np.float32) * np.float32(sitter.unit)
    portrait: Portrait = sitter.portrait
    change = np.abs(generator.render(portrait, moved).astype(int) - portrait.photo).max(-1)
    left, top, right, bottom = portrait.region
    height, width = portrait.photo.shape[:2]
    sides = [
        (left > 0, change[top:bottom, left]), (top > 0, change[top, left:right]),
        (right < width, change[top:bottom, right - 1]),
        (bottom < height, change[bottom - 1, left:right]),
    ]  # fmt: skip
    assert change.max() > 50
    assert all(side.max() <= 1 for cut, side in sides if cut)


@pytest.mark.parametrize("size", [64, 65, 131, 257, 700])
def test_all_sizes_are_drawn(generator: Generator, sitter: Any, size: int) -> None:
    portrait = sitter.portrait.resized(size)
    height, width = portrait.photo.shape[:2]
    scale = np.array([width, height, size], np.float32) / np.array(
        [sitter.image.shape[1], sitter.image.shape[0], max(sitter.image.shape[:2])], np.float32
    )
    still = generator.render(portrait, portrait.landmarks.points)
    assert still.shape == (height, width, 3)
    assert difference(still, portrait.photo).mean() < 1.5
    wanted = ((sitter.pose(jawOpen=0.7) + 0.5) * scale - 0.5).astype(np.float32)
    drawn = generator.render(portrait, wanted)
    assert difference(drawn, still)[inside(wanted, OUTER_LIPS, still)].mean() > 8


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_face_at_the_edge_of_the_picture_is_drawn(
    generator: Generator, hopper: Any, side: str
) -> None:
    low = hopper.points[:, :2].min(0).astype(int) + 3
    high = hopper.points[:, :2].max(0).astype(int) - 3
    height, width = hopper.image.shape[:2]
    x0, y0 = (low[0] if side == "left" else 0), (low[1] if side == "top" else 0)
    x1 = high[0] if side == "right" else width
    y1 = high[1] if side == "bottom" else height
    shift = np.array([x0, y0, 0], np.float32)
    image = np.ascontiguousarray(hopper.image[y0:y1, x0:x1])
    face = Face(Landmarks(hopper.points - shift), hopper.face.expression)
    portrait = generator.prepare([(image, face)])
    drawn = generator.render(portrait, hopper.pose(jawOpen=0.6) - shift)
    whole = generator.render(hopper.portrait, hopper.pose(jawOpen=0.6))[y0:y1, x0:x1]
    assert drawn.shape == image.shape
    hole = inside(hopper.pose(jawOpen=0.6) - shift, INNER_LIPS, image)
    if side != "bottom":
        assert np.abs(drawn[hole].mean() - whole[hole].mean()) < 10
    out = hopper.points - shift - np.array([0.7 * width, 0, 0], np.float32)
    assert generator.render(portrait, out).shape == image.shape


def test_a_turned_face_is_painted_where_it_is(generator: Generator, hopper: Any) -> None:
    """The photo lying on its side gives the same picture, lying on its side."""
    image = np.ascontiguousarray(np.rot90(hopper.image))
    width = hopper.image.shape[1]

    def turned(points: FloatArray) -> FloatArray:
        return np.stack([points[:, 1], width - 1 - points[:, 0], points[:, 2]], 1)

    face = Face(Landmarks(turned(hopper.points)), hopper.face.expression)
    drawn = generator.render(generator.prepare([(image, face)]), turned(hopper.pose(jawOpen=0.6)))
    upright = generator.render(hopper.portrait, hopper.pose(jawOpen=0.6))
    assert difference(np.rot90(drawn, -1), upright).mean() < 1.5


def damage(kind: str, tensors: dict[str, Any], config: dict[str, Any]) -> None:
    parts = config["parts"]
    keys: dict[str, Callable[[], Any]] = {
        "tensor missing": lambda: tensors.pop("mouth.decoder.to_rgb.weight"),
        "tensor too many": lambda: tensors.update({"mouth.more": torch.zeros(2)}),
        "tensor of no part": lambda: tensors.update({"nose.weight": torch.zeros(2)}),
        "wrong width": lambda: parts["eye"].update(width=16),
        "size missing": lambda: parts["eye"].pop("blocks"),
        "size unknown": lambda: parts["mouth"].update(depth=3),
        "part missing": lambda: parts.pop("eye"),
        "no parts": lambda: config.pop("parts"),
    }
    keys[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "tensor missing", "tensor too many", "wrong width", "size missing", "size unknown",
        "tensor of no part", "part missing", "no parts",
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, kind: str) -> None:
    tensors, config = load_weights("generator")
    damage(kind, tensors, config)
    save_weights("generator", tensors, config, tmp_path)
    with pytest.raises(WeightsError, match="generator"):
        Generator.load(folder=tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"generator\.safetensors"):
        Generator.load(folder=tmp_path)


def test_undamaged_weights_are_taken(tmp_path: Path, generator: Generator, sitter: Any) -> None:
    save_weights("generator", *load_weights("generator"), tmp_path)
    other: Callable[..., ImageArray] = Generator.load(folder=tmp_path).render
    wanted = sitter.pose(jawOpen=0.4)
    assert (other(sitter.portrait, wanted) == generator.render(sitter.portrait, wanted)).all()
