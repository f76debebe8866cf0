"""Several photos of one person: each part from the photo that shows it best."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from avatar import Avatar
from avatar.face import MediaPipeDetector
from avatar.generator import Generator
from avatar.generator.parts import MOUTH, Placement
from avatar.generator.views import View, in_the_light_of, weigh
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray, Motion

BLUE = np.array([30, 40, 250])


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load()


@pytest.fixture(scope="module")
def closed() -> tuple[ImageArray, Face]:
    photo: ImageArray = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    return photo, MediaPipeDetector().detect(photo)[0]


@pytest.fixture(scope="module")
def opened(closed: tuple[ImageArray, Face]) -> tuple[ImageArray, Face]:
    """The same person with an open mouth, which is blue inside."""
    person = Avatar.from_image(closed[0])
    motion = Motion.still(1, 25.0)
    motion.expression[0, ARKIT_NAMES.index("jawOpen")] = 0.6
    frame = next(iter(person.mimic(motion)))
    image = frame.image.copy()
    inside = np.array(frame.landmarks.points[[13, 14], :2].mean(0)).round().astype(int)
    half = int(np.linalg.norm(frame.landmarks.points[13] - frame.landmarks.points[14]) / 2)
    image[inside[1] - half : inside[1] + half, inside[0] - 12 : inside[0] + 12] = BLUE
    return image, Face(frame.landmarks, frame.expression)


def blueness(image: ImageArray, landmarks: FloatArray) -> float:
    """How blue the middle of the mouth is."""
    x, y = landmarks[[13, 14], :2].mean(0).round().astype(int)
    red, green, blue = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)
    return float(blue - (red + green) / 2)


def test_an_open_mouth_is_taken_from_the_photo_that_shows_it(
    generator: Generator, closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    wide = opened[1].landmarks.points
    alone, both = (generator.prepare(photos) for photos in ([closed], [closed, opened]))
    assert blueness(generator.render(alone, wide), wide) < 20
    assert blueness(generator.render(both, wide), wide) > 120


def test_where_the_first_photo_shows_it_best_the_others_change_nothing(
    generator: Generator, closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    at_home = closed[1].landmarks.points
    alone, both = (generator.prepare(photos) for photos in ([closed], [closed, opened]))
    np.testing.assert_array_equal(generator.render(both, at_home), generator.render(alone, at_home))
    assert all(view.made for views in alone.views.values() for view in views[1:])


def test_the_order_of_the_other_photos_does_not_matter(
    generator: Generator, closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    wide = opened[1].landmarks.points
    mirrored = np.ascontiguousarray(closed[0][:, ::-1])
    third = (mirrored, MediaPipeDetector().detect(mirrored)[0])
    one, other = (
        generator.render(generator.prepare([closed, *others]), wide).astype(int)
        for others in ((opened, third), (third, opened))
    )
    assert np.abs(one - other).max() <= 1


def test_a_darker_photo_is_shown_in_the_light_of_the_first(
    generator: Generator, closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    wide = opened[1].landmarks.points
    dark = ((opened[0] * 0.75).astype(np.uint8), opened[1])
    bright, lit = (
        generator.render(generator.prepare([closed, other]), wide) for other in (opened, dark)
    )
    cheek = opened[1].landmarks.points[[57, 287], :2].round().astype(int)
    for x, y in cheek:
        assert np.abs(bright[y, x].astype(int) - lit[y, x].astype(int)).max() < 25


def test_the_weights_of_the_photos_change_smoothly(
    generator: Generator, closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    views = generator.prepare([closed, opened]).views["mouth"]
    ends = [torch.from_numpy(face.landmarks.points[None, :, :2]) for _, face in (closed, opened)]
    shares = np.linspace(0, 1, 101)
    rows = []
    for share in shares:
        target = torch.lerp(ends[0], ends[1], float(share))
        weights = weigh((MOUTH,), views, Placement.of(MOUTH, target).to_patch(target))
        rows.append(weights[0].numpy())
    weights = np.stack(rows)
    assert np.abs(weights.sum(1) - 1).max() < 1e-5
    assert weights.min() >= 0
    assert weights[0, 0] == 1
    assert weights[-1, 1] > 0.9
    assert (np.diff(weights[:, 1]) > -1e-6).all()
    assert np.abs(np.diff(weights, axis=0)).max() < 0.25


def test_light_is_matched_by_the_skin_around_the_part() -> None:
    outlines = torch.full((1, 2, 8, 8), -1.0)
    outlines[:, :, 2:6, 2:6] = 1.0
    first = torch.full((1, 3, 16, 16), 0.2)
    first[:, :, 4:12, 4:12] = -0.9
    other = torch.full((1, 3, 16, 16), -0.04)
    other[:, :, 4:12, 4:12] = -0.5
    lit = in_the_light_of(first, outlines, other, outlines)
    assert torch.allclose(lit[:, :, 0, 0], first[:, :, 0, 0], atol=1e-4)
    assert torch.allclose(lit[:, :, 8, 8], torch.tensor(-0.375), atol=1e-3)


def test_a_far_photo_counts_for_nothing() -> None:
    points = torch.zeros(1, 478, 2)
    points[0, :, 0] = torch.linspace(-0.5, 0.5, 478)
    far = points.clone()
    far[0, MOUTH.likeness[:20], 1] += 0.5
    empty = torch.zeros(0)
    views = tuple(View(empty, p, empty, empty) for p in (points, far))
    assert weigh((MOUTH,), views, points)[0].tolist() == [1.0, 0.0]


def test_several_photos_survive_being_saved(
    closed: tuple[ImageArray, Face], opened: tuple[ImageArray, Face]
) -> None:
    from avatar.identity import Identity, Photo

    def drawn(identity: Identity) -> ImageArray:
        motion = Motion.still(1, 25.0)
        motion.expression[0, ARKIT_NAMES.index("jawOpen")] = 0.5
        image = next(iter(Avatar(identity).mimic(motion, size=128))).image
        assert image is not None
        return image

    identity = Identity(tuple(Photo.of(image, face) for image, face in (closed, opened)))
    np.testing.assert_array_equal(drawn(identity), drawn(Identity.from_bytes(identity.to_bytes())))
