"""What makes a clip unfit is seen, and what does not is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatar.errors import ConfigError
from avatar.face import MediaPipeDetector
from avatar.media import load_image
from avatar.training.clip_quality import (
    DEFAULT_LIMITS,
    THUMBNAIL,
    Figures,
    Limits,
    figures,
    picture_change,
    pieces,
    sharpness_and_thumbnail,
    small_grey,
)
from avatar.types import FloatArray, ImageArray

FRAMES = 60


@pytest.fixture(scope="module")
def portrait(repository: Path) -> tuple[ImageArray, FloatArray]:
    """A picture and its landmarks."""
    image = load_image(repository / "examples" / "grace_hopper.jpg")
    return image, MediaPipeDetector().detect(image)[0].landmarks.points


@pytest.fixture
def track(portrait: tuple[ImageArray, FloatArray]) -> dict[str, Any]:
    """A good clip: the head drifts, the picture hardly changes."""
    image, points = portrait
    sharpness, thumbnail = sharpness_and_thumbnail(image, points[:, :2])
    drift = np.linspace(0, 12, FRAMES, dtype=np.float32)[:, None, None] * [[[1.0, 0.3, 0.0]]]
    return {
        "landmarks": (points[None] + drift).astype(np.float32),
        "matrix": np.tile(np.eye(4, dtype=np.float32), (FRAMES, 1, 1)),
        "pts": np.arange(FRAMES, dtype=np.float32) / 25, "fps": 25.0,
        "sharpness": np.full(FRAMES, sharpness, np.float32),
        "thumbnails": np.repeat(thumbnail[None], FRAMES, 0),
        "rivals": np.zeros(FRAMES, np.float32), "change": np.full(FRAMES, 0.01, np.float32),
    }  # fmt: skip


def faults(track: dict[str, Any]) -> list[str]:
    return figures(track, 0, FRAMES).faults(DEFAULT_LIMITS)


def test_a_good_clip_is_one_piece_without_faults(track: dict[str, Any]) -> None:
    assert pieces(track) == [(0, FRAMES)]
    assert faults(track) == []


def test_each_fault_is_named(
    track: dict[str, Any], portrait: tuple[ImageArray, FloatArray]
) -> None:
    rng = np.random.default_rng(0)
    lost = track["landmarks"].copy()
    lost[10:20] = np.nan
    trembling = track["landmarks"] + rng.normal(0, 8, track["landmarks"].shape)
    turned = track["matrix"].copy()
    turned[:30, 2, 2] = 0.5
    two = track["rivals"].copy()
    two[:20] = 0.8
    hand = track["thumbnails"].copy()
    hand[:20, THUMBNAIL // 2 :] = rng.integers(0, 255, (THUMBNAIL // 2, THUMBNAIL))
    for changed, fault in (
        ({"landmarks": lost}, "face lost in 17% of the frames"),
        ({"landmarks": np.full_like(lost, np.nan)}, "no face in any frame"),
        ({"landmarks": track["landmarks"] * 0.1}, "face too small"),
        ({"landmarks": trembling}, "landmarks tremble"),
        ({"matrix": turned}, "turned away in 50% of the frames"),
        ({"rivals": two}, "several faces in 33% of the frames"),
        ({"thumbnails": hand}, "face covered in 33% of the frames"),
        ({"sharpness": track["sharpness"] * 0}, "blurred"),
        ({"fps": 1000.0, "pts": track["pts"] / 40}, "too short"),
    ):
        [found] = faults({**track, **changed})
        assert found.startswith(fault)


def test_blur_lowers_sharpness_and_neither_contrast_nor_size_does(
    portrait: tuple[ImageArray, FloatArray],
) -> None:
    image, points = portrait

    def sharpness(of: ImageArray, scale: float = 1.0) -> float:
        return sharpness_and_thumbnail(of, points[:, :2] * np.float32(scale))[0]

    as_is = sharpness(image)
    blurs = [sharpness(np.asarray(cv2.GaussianBlur(image, (0, 0), s), np.uint8)) for s in (2, 4, 8)]
    assert as_is > blurs[0] > blurs[1] > blurs[2]
    assert blurs[2] < 0.1 * as_is
    pale = (image.astype(np.float32) * 0.5 + 60).astype(np.uint8)
    assert sharpness(pale) == pytest.approx(as_is, rel=0.1)
    double = np.asarray(
        cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8
    )
    assert sharpness(double, 2.0) == pytest.approx(as_is, rel=0.35)


def test_a_new_scene_begins_a_piece(track: dict[str, Any]) -> None:
    track["change"][30] = 0.3
    assert pieces(track) == [(0, 30), (30, FRAMES)]


def test_a_cut_between_like_pictures_is_seen_by_the_face(track: dict[str, Any]) -> None:
    track["landmarks"][40:, :, 0] += 2 * np.ptp(track["landmarks"][0, :, 0])
    assert pieces(track) == [(0, 40), (40, FRAMES)]


def test_time_that_jumps_begins_a_piece(track: dict[str, Any]) -> None:
    track["pts"][20:] += 1.0
    assert pieces(track) == [(0, 20), (20, FRAMES)]


def test_frames_without_a_face_at_the_ends_are_left_off(track: dict[str, Any]) -> None:
    track["landmarks"][:4] = np.nan
    track["landmarks"][50:] = np.nan
    track["landmarks"][20] = np.nan
    assert pieces(track) == [(4, 50)]
    assert figures(track, 4, 50).lost_share == pytest.approx(1 / 46, abs=1e-4)


def test_a_change_of_the_light_is_less_than_one_of_the_scene(
    portrait: tuple[ImageArray, FloatArray],
) -> None:
    image = portrait[0]
    here, brighter = (
        small_grey(image),
        small_grey(np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8)),
    )
    elsewhere = small_grey(np.ascontiguousarray(image[::-1, ::-1]))
    assert picture_change(here, here) == 0
    assert picture_change(here, brighter) < 0.05 < 0.1 < picture_change(here, elsewhere)


def test_limits_that_no_clip_can_meet_are_refused() -> None:
    with pytest.raises(ConfigError, match="least length"):
        Limits(least_seconds=0)
    with pytest.raises(ConfigError, match="most_lost_share must be within 0 to 1"):
        Limits(most_lost_share=1.5)


def test_a_limit_decides(track: dict[str, Any]) -> None:
    figured = replace(Figures(2.0, 25.0, 50, 0.0, face_pixels=40, sharpness=1.0))
    assert figured.faults(Limits(least_face_pixels=39)) == []
    assert figured.faults(Limits(least_face_pixels=41)) == [
        "face too small: 40 pixels between the eyes"
    ]
