"""What is seen behind a person: the old background never, the new one everywhere it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar.errors import ConfigError, ImageError
from avatar.face import PersonSegmenter
from avatar.generator import Background, Generator, Portrait
from avatar.types import FloatArray, ImageArray

GREEN = (20, 220, 60)


@pytest.fixture(scope="module")
def mask(hopper: Any) -> FloatArray:
    return PersonSegmenter().mask(hopper.image, hopper.face.landmarks)


def behind(portrait: Portrait, mask: FloatArray, source: Any) -> Portrait:
    background = Background.of(source)
    assert background is not None
    return background.behind(portrait, mask)


def test_the_mask_holds_the_face_and_not_the_corners(hopper: Any, mask: FloatArray) -> None:
    assert mask.shape == hopper.image.shape[:2]
    columns, rows = hopper.points[:468, :2].round().astype(int).T
    assert np.quantile(mask[rows, columns], 0.02) > 0.95
    assert mask[rows, columns].min() > 0.5
    assert mask[:40, :40].max() < 0.05
    assert mask[:40, -40:].max() < 0.05


def test_only_the_person_of_the_face_is_cut_out(hopper: Any) -> None:
    wall = np.broadcast_to(hopper.image[100, -1], (*hopper.image.shape[:1], 200, 3))
    twice = np.concatenate([hopper.image, wall, hopper.image], axis=1)
    mask = PersonSegmenter().mask(twice, hopper.face.landmarks)
    assert mask[:, : hopper.image.shape[1]].mean() > 0.2
    assert mask[:, hopper.image.shape[1] + 200 :].mean() < 0.02


def test_a_colour_stands_behind_the_person(
    generator: Generator, hopper: Any, mask: FloatArray
) -> None:
    portrait = behind(hopper.portrait, mask, GREEN)
    frame = generator.render(portrait, hopper.points)
    assert (frame[mask == 0] == GREEN).all()
    inside = mask == 1
    difference = np.abs(frame.astype(int) - generator.render(hopper.portrait, hopper.points))
    assert difference[inside].max() <= 1


@pytest.mark.parametrize("step", [-0.3, 0.3])
def test_a_moving_head_never_uncovers_the_old_background(
    generator: Generator, hopper: Any, step: float
) -> None:
    """A person before pure blue: no frame may show any of it."""
    mask = PersonSegmenter().mask(hopper.image, hopper.face.landmarks)
    blue = np.array([0.0, 0.0, 255.0])
    share = mask[..., None]
    photo = np.rint(hopper.image * share + blue * (1 - share)).astype(np.uint8)
    portrait = generator.prepare([(photo, hopper.face)])
    moved = hopper.points + np.array([step * hopper.unit, 0, 0], np.float32)
    kept = generator.render(portrait, moved)
    frame = generator.render(behind(portrait, mask, GREEN), moved)

    def blueness(image: ImageArray) -> Any:
        # The uniform is dark blue: what counts is the pure one.
        return image[..., 2] - image[..., :2].max(axis=2).astype(int)

    assert (blueness(kept) > 120).mean() > 0.1
    assert (blueness(frame) > 120).sum() == 0


def test_an_edge_takes_its_colours_from_the_person(hopper: Any, mask: FloatArray) -> None:
    photo = hopper.image.copy()
    photo[mask < 0.02] = (255, 0, 255)
    alone = behind(
        Portrait.of(photo, hopper.face.landmarks, hopper.face.expression, {}, {}), mask, "alpha"
    ).photo
    edge = (mask > 0.02) & (mask < 0.98)
    magenta = np.minimum(alone[..., 0], alone[..., 2]).astype(int) - alone[..., 1]
    assert np.quantile(magenta[edge], 0.99) < 100


def test_alpha_gives_four_channels(generator: Generator, hopper: Any, mask: FloatArray) -> None:
    portrait = behind(hopper.portrait, mask, "alpha")
    frame = generator.render(portrait, hopper.pose(jawOpen=0.4))
    assert frame.shape == (*hopper.image.shape[:2], 4)
    assert frame[20, 20, 3] == 0
    columns, rows = hopper.points[:468, :2].round().astype(int).T
    assert np.quantile(frame[rows, columns, 3], 0.02) > 240


def test_blur_keeps_the_person_sharp_and_has_no_ghost_of_them(
    generator: Generator, hopper: Any, mask: FloatArray
) -> None:
    portrait = behind(hopper.portrait, mask, "blur")
    frame = generator.render(portrait, hopper.points)
    kept = generator.render(hopper.portrait, hopper.points)
    assert np.abs(frame.astype(int) - kept)[mask == 1].max() <= 1
    far = mask == 0
    assert np.abs(np.diff(frame.astype(int), axis=1))[far[:, 1:]].mean() < 2
    assert portrait.cutout is not None
    # The hat is black and the wall beside it is not: nor is what is put behind the hat.
    hat = portrait.cutout.behind[45:60, 200:330]  # type: ignore[index]
    assert float(hat.mean()) > 50


def test_an_image_fills_the_frame(generator: Generator, hopper: Any, mask: FloatArray) -> None:
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = (200, 100, 50)
    frame = generator.render(behind(hopper.portrait, mask, wide), hopper.points)
    # It is cut about its middle, so only the middle third is seen.
    assert (frame[mask == 0] == (200, 100, 50)).all(axis=1).mean() > 0.95


def test_a_person_before_something_can_be_resized(
    generator: Generator, hopper: Any, mask: FloatArray
) -> None:
    small = behind(hopper.portrait, mask, GREEN).resized(256)
    frame = generator.render(small, small.landmarks.points)
    assert frame.shape == small.photo.shape
    assert tuple(frame[10, 10]) == GREEN


@pytest.mark.parametrize(
    ("source", "colour"),
    [("#1e90ff", (30, 144, 255)), ("#19F", (17, 153, 255)), ((1, 2, 3), (1, 2, 3)),
     ([np.uint8(9), 8, 7], (9, 8, 7))],
)  # fmt: skip
def test_a_colour_may_be_told_in_two_ways(source: Any, colour: tuple[int, int, int]) -> None:
    background = Background.of(source)
    assert background is not None
    assert background.colour == colour


def test_keep_is_no_background() -> None:
    assert Background.of("keep") is None


@pytest.mark.parametrize(
    "source", ["#12345", "#gggggg", "sea", (1, 2), (1, 2, 300), (0.5, 0.5, 0.5), (-1, 0, 0)]
)
def test_what_is_no_background_is_refused(source: Any) -> None:
    with pytest.raises(ConfigError, match="background"):
        Background.of(source)


def test_a_missing_or_broken_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"sea\.jpg: no such file"):
        Background.of(str(tmp_path / "sea.jpg"))
    with pytest.raises(ImageError, match=r"sea\.jpg: no such file"):
        Background.of("sea.jpg")
    broken = tmp_path / "sea.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"sea\.png"):
        Background.of(broken)


def test_the_same_picture_is_the_same_background(tmp_path: Path) -> None:
    picture = np.full((8, 8, 3), 7, np.uint8)
    Image.fromarray(picture).save(tmp_path / "flat.png")
    by_name, by_value = Background.of(tmp_path / "flat.png"), Background.of(picture)
    assert by_name is not None
    assert by_value is not None
    assert by_name.key == by_value.key
