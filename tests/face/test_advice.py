"""Advice on photos: what they show, what is wrong with them, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from avatar.cli import run
from avatar.errors import ImageError, NoFaceError
from avatar.face import MediaPipeDetector, advise
from avatar.face.advice import STATES, _different_people
from avatar.face.photo_quality import PhotoQuality, measure
from avatar.media import load_image
from avatar.types import ImageArray


@pytest.fixture(scope="module")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


@pytest.fixture(scope="module")
def closed(repository: Path) -> ImageArray:
    return load_image(repository / "examples" / "grace_hopper.jpg")


@pytest.fixture(scope="module")
def smiling(repository: Path) -> ImageArray:
    return load_image(repository / "examples" / "astronaut.jpg")


def measured(photo: ImageArray, detector: MediaPipeDetector) -> PhotoQuality:
    return measure(photo, detector.detect(photo)[0])


def enlarged(photo: ImageArray, scale: float) -> ImageArray:
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


def test_the_weights_of_all_states_are_the_whole_score() -> None:
    assert sum(state.weight for state in STATES) == pytest.approx(1.0)
    assert [s.weight for s in STATES] == sorted((s.weight for s in STATES), reverse=True)


def test_a_closed_mouth_asks_for_teeth(closed: ImageArray, detector: MediaPipeDetector) -> None:
    advice = advise([closed], detector=detector)
    assert advice.photos[0].shows == ("lips closed",)
    assert advice.wanted[0].state == "teeth"
    assert "teeth" in advice.wanted[0].photo
    assert advice.warnings == ()


def test_a_smile_asks_for_closed_lips(smiling: ImageArray, detector: MediaPipeDetector) -> None:
    advice = advise([smiling], detector=detector)
    assert "teeth" in advice.photos[0].shows
    assert "lips closed" not in advice.photos[0].shows
    assert advice.wanted[0].state == "lips closed"


def test_the_promised_gain_is_no_less_than_what_a_photo_brings(
    closed: ImageArray, smiling: ImageArray, detector: MediaPipeDetector
) -> None:
    """The second photo is of someone else; it is what it shows that counts here."""
    alone = advise([closed], detector=detector)
    both = advise([closed, smiling], detector=detector)
    assert alone.score < both.score <= 1.0
    gain = {wanted.state: wanted.gain for wanted in alone.wanted}
    assert both.score - alone.score <= gain["teeth"] + gain["mouth open"] + 1e-9
    assert all(both.covered[name] >= alone.covered[name] for name in alone.covered)


def test_the_same_photo_twice_helps_nothing(
    closed: ImageArray, detector: MediaPipeDetector
) -> None:
    once, twice = (advise([closed] * n, detector=detector) for n in (1, 2))
    assert once.score == twice.score
    assert twice.warnings == ()


def test_blur_is_seen(closed: ImageArray, detector: MediaPipeDetector) -> None:
    soft = np.asarray(Image.fromarray(closed).filter(ImageFilter.GaussianBlur(3)))
    assert measured(soft, detector).sharpness < 0.2 < 0.9 < measured(closed, detector).sharpness
    problems = advise([soft], detector=detector).photos[0].problems
    assert any("blurred" in problem for problem in problems)


def test_enlarging_a_small_picture_does_not_make_it_a_large_one(
    closed: ImageArray, detector: MediaPipeDetector
) -> None:
    small = enlarged(closed, 0.3)
    grown = enlarged(small, 3.0)
    assert measured(small, detector).size < 0.2
    assert measured(grown, detector).quality < 0.75 * measured(closed, detector).quality
    assert measured(grown, detector).sharpness < 0.5


@pytest.mark.parametrize(("factor", "words"), [(0.15, "dark"), (2.5, "overexposed")])
def test_bad_light_is_seen(
    closed: ImageArray, detector: MediaPipeDetector, factor: float, words: str
) -> None:
    photo = (closed * factor).clip(0, 255).astype(np.uint8)
    found = advise([photo], detector=detector).photos[0]
    assert any(words in problem for problem in found.problems)
    assert found.quality is not None
    assert found.quality.light < measured(closed, detector).light


def test_light_from_one_side_is_seen(closed: ImageArray, detector: MediaPipeDetector) -> None:
    shade = np.clip(np.linspace(3.4, -1.6, closed.shape[1]), 0.1, 1.6)[:, None]
    photo = (closed * shade).clip(0, 255).astype(np.uint8)
    problems = advise([photo], detector=detector).photos[0].problems
    assert any("one side" in problem for problem in problems)


def test_a_face_that_is_cut_off_is_seen(closed: ImageArray, detector: MediaPipeDetector) -> None:
    half = np.ascontiguousarray(closed[:, 240:])
    found = advise([half], detector=detector).photos[0]
    assert any("cut off" in problem for problem in found.problems)


def test_a_photo_without_a_face_does_not_spoil_the_others(
    closed: ImageArray, detector: MediaPipeDetector
) -> None:
    empty = np.full((200, 200, 3), 90, np.uint8)
    advice = advise([empty, closed], names=["wall", "grace"], detector=detector)
    assert advice.photos[0].quality is None
    assert "no human face found in wall" in advice.photos[0].problems[0]
    assert advice.score == advise([closed], detector=detector).score


def test_no_usable_photo_is_an_error(detector: MediaPipeDetector) -> None:
    with pytest.raises(NoFaceError, match="no human face found in image 0"):
        advise([np.full((200, 200, 3), 90, np.uint8)], detector=detector)
    with pytest.raises(ImageError, match="list of one or more"):
        advise([])


def test_the_one_who_is_unlike_the_others_is_named() -> None:
    random = np.random.default_rng(0)
    person = random.normal(size=40).astype(np.float32)
    same = [(name, person + random.normal(scale=0.3, size=40).astype(np.float32)) for name in "abc"]
    assert _different_people(same) == ()
    warnings = _different_people([*same, ("stranger", -person)])
    assert len(warnings) == 1
    assert warnings[0].startswith("stranger: ")


def test_the_command_says_it_in_plain_words_and_as_json(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(repository / "examples" / "grace_hopper.jpg")
    assert run(["advise", photo]) == 0
    said = capsys.readouterr().out
    assert "shows lips closed" in said
    assert "help most with a smile that shows the upper teeth" in said
    assert run(["advise", photo, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["score"] < 1
    assert told["wanted"][0]["state"] == "teeth"
    assert told["photos"][0]["quality"]["eyes_open"] > 0.2
    assert run(["advise", "missing.jpg"]) == ImageError.exit_code


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "state"),
    [("face_recognition_obama", "teeth"), ("echomimic_v3_09", "lips closed"),
     ("liveportrait_s10", "turned left")],
)  # fmt: skip
def test_what_a_portrait_shows(
    shared_data: Path, detector: MediaPipeDetector, name: str, state: str
) -> None:
    photo = load_image(shared_data / "portraits" / f"{name}.jpg")
    assert state in advise([photo], detector=detector).photos[0].shows


@pytest.mark.shared
def test_two_people_are_told_apart(shared_data: Path, detector: MediaPipeDetector) -> None:
    obama, again, biden = (
        shared_data / "portraits" / f"face_recognition_{name}.jpg"
        for name in ("obama", "obama-240p", "biden")
    )
    assert advise([str(obama), str(again)], detector=detector).warnings == ()
    assert advise([str(obama), str(biden)], detector=detector).warnings
