"""A person's own mouth is learnt from their pictures, travels in their file, and never harms."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from avatar import Avatar, Identity
from avatar.cli import run
from avatar.engine import Engine
from avatar.errors import AvatarFileError, ConfigError, ImageError, NoFaceError, WeightsError
from avatar.generator import Deltas, Portrait
from avatar.generator.episodes import CROP
from avatar.generator.warping import INNER_LIPS
from avatar.identity import MOST_DELTA_BYTES, Photo
from avatar.media import VideoWriter, load_image
from avatar.motion import Retargeter
from avatar.personal import PersonFaces, faces_of_video, personalise
from avatar.personal.learn import Learner, Learnt, Settings, learn
from avatar.personal.lowrank import LearningDecoder
from avatar.personal.plan import held_out_and_pairs
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray, Landmarks

pytestmark = pytest.mark.usefixtures("one_thread")

Picture = tuple[ImageArray, Face]
JAW = ARKIT_NAMES.index("jawOpen")
OPENINGS = (0.15, 0.3, 0.45, 0.6)
BRIEF = Settings(steps=12, batch=2, look_every=6)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.default()


@pytest.fixture(scope="module")
def photo(repository: Path, engine: Engine) -> Picture:
    image = load_image(repository / "examples" / "grace_hopper.jpg")
    return image, engine.find_face(image)


def opened(engine: Engine, photo: Picture, opening: float) -> FloatArray:
    """The landmarks of the person with the jaw dropped."""
    face = photo[1]
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    expression[JAW] = opening
    upright, still = np.array([1, 0, 0, 0], np.float32), np.zeros(3, np.float32)
    mover = Retargeter(engine.rig, face.landmarks, face.expression)
    return mover.landmarks(expression, upright, still, np.zeros(2, np.float32))


@pytest.fixture(scope="module")
def pictures(engine: Engine, photo: Picture) -> list[Picture]:
    """The person with an open mouth and turquoise inside, which no shipped network expects."""
    portrait, made = engine.prepare([photo]), []
    for opening in OPENINGS:
        points = opened(engine, photo, opening)
        image = Image.fromarray(engine.generator.render(portrait, points))
        ring = [(float(x), float(y)) for x, y in points[list(INNER_LIPS), :2]]
        ImageDraw.Draw(image).polygon(ring, fill=(40, 200, 190))
        face = Face(Landmarks(points), np.zeros(len(ARKIT_NAMES), np.float32))
        made.append((np.array(image), face))
    return made


@pytest.fixture(scope="module")
def faces(photo: Picture, pictures: list[Picture]) -> PersonFaces:
    return PersonFaces.of([photo, *pictures])


def learner(
    engine: Engine, photo: Picture, faces: PersonFaces, settings: Settings, seed: int = 0
) -> Learner:
    held_out, pairs = held_out_and_pairs(faces)
    return Learner(
        engine.generator.networks["mouth"], faces, engine.prepare([photo]).styles["mouth"].clone(),
        pairs=pairs, held_out=held_out, pictures=len(faces.frames), settings=settings, seed=seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def deltas(engine: Engine, photo: Picture, faces: PersonFaces) -> Deltas:
    learnt = learn(learner(engine, photo, faces, BRIEF))
    assert learnt.better
    changes = {f"mouth.{name}": value for name, value in learnt.changes.items()}
    return Deltas(
        changes, engine.generator.weights_sha256, pictures=len(faces.frames), steps=learnt.steps,
        score_before=learnt.before, score_after=learnt.after,
    )  # fmt: skip


def mouth_colour(image: ImageArray, points: FloatArray) -> FloatArray:
    inside = points[list(INNER_LIPS), :2].mean(0).round().astype(int)
    x, y = inside
    return image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0).astype(np.float32)


# ── what is learnt ───────────────────────────────────────────────────────────────────────────────


def test_the_mouth_takes_the_colour_that_the_pictures_show(
    engine: Engine, photo: Picture, deltas: Deltas
) -> None:
    points = opened(engine, photo, 0.5)
    shipped = engine.generator.render(engine.prepare([photo]), points)
    own = engine.generator.render(engine.prepare([photo], deltas), points)
    red, green, blue = mouth_colour(own, points) - mouth_colour(shipped, points)
    assert green > 15
    assert blue > 15
    assert red < min(green, blue)
    assert deltas.score_after < 0.9 * deltas.score_before


def test_only_the_mouth_changes(engine: Engine, photo: Picture, deltas: Deltas) -> None:
    points = opened(engine, photo, 0.5)
    shipped = engine.generator.render(engine.prepare([photo]), points)
    own = engine.generator.render(engine.prepare([photo], deltas), points)
    y, x = np.nonzero((shipped != own).any(2))
    lips = points[[61, 291, 0, 17], :2]
    unit = float(np.linalg.norm(points[33, :2] - points[263, :2]))
    assert x.min() > lips[:, 0].min() - 0.3 * unit
    assert x.max() < lips[:, 0].max() + 0.3 * unit
    assert y.min() > lips[:, 1].min() - 0.3 * unit
    assert y.max() < lips[:, 1].max() + 0.3 * unit


def test_others_are_drawn_as_before(engine: Engine, photo: Picture, deltas: Deltas) -> None:
    points = opened(engine, photo, 0.5)
    plain, own = engine.prepare([photo]), engine.prepare([photo], deltas)
    alone = [engine.generator.render(portrait, points) for portrait in (plain, own)]
    together = engine.generator.render_many([(plain, points), (own, points), (plain, points)])
    for image, expected in zip(together, [alone[0], alone[1], alone[0]], strict=True):
        np.testing.assert_array_equal(image, expected)
    assert (alone[0] != alone[1]).any()


def test_the_same_pictures_and_seed_give_the_same_changes(
    engine: Engine, photo: Picture, faces: PersonFaces
) -> None:
    few = Settings(steps=2, batch=2, look_every=1)
    first, again = (learn(learner(engine, photo, faces, few)) for _ in range(2))
    other = learn(learner(engine, photo, faces, few, seed=1))
    assert all(torch.equal(first.changes[name], again.changes[name]) for name in first.changes)
    assert any(not torch.equal(first.changes[name], other.changes[name]) for name in other.changes)


def test_the_best_moment_wins_and_a_worse_end_is_forgotten(
    engine: Engine, photo: Picture, faces: PersonFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = learner(engine, photo, faces, Settings(steps=6, batch=1, look_every=1, patience=2))
    scores, seen = iter([1.0, 0.9, 0.7, 0.8, 0.75, 0.1, 0.1]), []
    monkeypatch.setattr(one, "score", lambda: next(scores))
    monkeypatch.setattr(one, "step", lambda done: seen.append(done))
    learnt = learn(one)
    assert (learnt.before, learnt.after, learnt.steps) == (1.0, 0.7, 2)
    assert learnt.better
    assert seen == [0, 1, 2, 3]


def test_the_held_out_picture_teaches_nothing(faces: PersonFaces) -> None:
    for count in range(2, len(faces.frames) + 1):
        some = PersonFaces(faces.frames[:count], faces.landmarks[:count], faces.mirror)
        held_out, pairs = held_out_and_pairs(some)
        targets = {target for _, target in pairs}
        assert all(source == 0 and target != 0 for source, target in held_out)
        assert not targets & {target for _, target in held_out}
        assert 0 in targets
        assert len(targets) == count - len(held_out)


@pytest.mark.parametrize(("pictures", "better"), [(1, False), (5, False), (6, True), (9, True)])
def test_few_pictures_must_prove_more(pictures: int, better: bool) -> None:
    assert Learnt({}, 1.0, 0.9, 12, pictures).better == better
    assert Learnt({}, 1.0, 0.8, 12, pictures).better
    assert not Learnt({}, 1.0, 0.99, 12, pictures).better


# ── never worse ──────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_clearly_better_is_dropped_and_said(
    repository: Path, pictures: list[Picture], engine: Engine, photo: Picture
) -> None:
    more = PersonFaces.of(pictures[:2])
    outcome = personalise(engine, [photo], more, steps=1)
    assert outcome.deltas is None
    assert "nothing is kept" in outcome.note


def test_a_closed_mouth_alone_teaches_nothing(engine: Engine, photo: Picture) -> None:
    closed = (photo[0], Face(Landmarks(opened(engine, photo, 0.0)), photo[1].expression))
    outcome = personalise(engine, [closed], None)
    assert outcome.deltas is None
    assert "closed mouth" in outcome.note


def test_an_open_mouth_alone_says_what_it_cannot_teach(
    engine: Engine, pictures: list[Picture]
) -> None:
    outcome = personalise(engine, [pictures[3]], None, steps=20)
    assert outcome.deltas is not None
    assert outcome.deltas.pictures == 1
    assert "stays invented" in outcome.note


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def test_faces_are_aligned_by_the_eyes(faces: PersonFaces) -> None:
    assert faces.frames.shape == (1 + len(OPENINGS), CROP, CROP, 3)
    right, left = faces.landmarks[:, 33], faces.landmarks[:, 263]
    assert torch.allclose(right[:, 1], left[:, 1], atol=0.1)
    assert torch.allclose((left - right)[:, 0], torch.tensor((CROP - 1) / 2.8), atol=0.1)


def test_the_light_of_the_first_photo_is_on_all(pictures: list[Picture]) -> None:
    image, face = pictures[0]
    warm = np.clip(image * np.array([1.25, 1.0, 0.8]), 0, 255).astype(np.uint8)
    lit = PersonFaces.of([(image, face), (warm, face)]).in_the_light_of_the_first()
    before, after = lit.frames[0].float(), lit.frames[1].float()
    assert float((before - after).abs().mean()) < 6
    assert torch.equal(lit.frames[0], PersonFaces.of([(image, face)]).frames[0])


def test_the_most_telling_faces_go_from_closed_to_wide(faces: PersonFaces) -> None:
    few = faces.most_telling(3).openness()
    assert len(few) == 3
    assert (few[1:] > few[:-1]).all()
    assert float(few[0]) == float(faces.openness().min())
    assert float(few[-1]) == float(faces.openness().max())


def test_a_video_gives_its_faces_and_one_without_any_is_refused(
    engine: Engine, photo: Picture, tmp_path: Path
) -> None:
    portrait = engine.prepare([photo])
    frames = [engine.generator.render(portrait, opened(engine, photo, k / 8)) for k in range(5)]
    for name, shown in (("person", frames), ("wall", [np.full_like(frames[0], 128)] * 5)):
        height, width = frames[0].shape[:2]
        with VideoWriter(tmp_path / f"{name}.mp4", width=width, height=height, fps=8) as writer:
            for frame in shown:
                writer.write(frame, None)
    found = faces_of_video(tmp_path / "person.mp4", engine)
    assert len(found.frames) == 5
    assert float(found.openness().max() - found.openness().min()) > 0.1
    with pytest.raises(NoFaceError, match=r"wall\.mp4"):
        faces_of_video(tmp_path / "wall.mp4", engine)


# ── the decoder and the file ─────────────────────────────────────────────────────────────────────


def test_merged_weights_paint_what_the_learning_decoder_painted(engine: Engine) -> None:
    torch.manual_seed(0)
    network = engine.generator.networks["mouth"]
    learning = LearningDecoder(network.decoder, torch.randn(1, network.config.style), rank=4)
    for value in learning.learning():
        value.data += 0.02 * torch.randn_like(value)
    deltas = Deltas({f"mouth.{k}": v for k, v in learning.changes().items()}, "")
    size = 192
    told = (torch.randn(1, 3, size, size), torch.randn(1, 2, size // 2, size // 2).clamp(-1, 1))
    numbers, features = torch.randn(1, network.config.numbers), torch.randn(1, 32, 48, 48)
    style = deltas.style("mouth", learning.style - learning.shift)
    with torch.no_grad():
        merged = deltas.merged("mouth", network.decoder)
        expected = learning(*told, numbers, features)
        answer = merged(*told, numbers, style, features)
        plain = network.decoder(*told, numbers, style, features)
    assert torch.allclose(answer, expected, atol=2e-2)
    assert not torch.allclose(plain, expected, atol=1e-1)


def test_changes_that_do_not_fit_are_refused(engine: Engine) -> None:
    decoder = engine.generator.networks["mouth"].decoder
    for wrong in (
        {"mouth.nowhere.weight.up": torch.zeros(2, 1), "mouth.nowhere.weight.down": torch.zeros(1)},
        {"mouth.to_rgb.bias.shift": torch.zeros(5)},
        {"mouth.to_rgb.weight.up": torch.zeros(12, 1)},
    ):
        with pytest.raises(WeightsError, match="does not fit"):
            Deltas(wrong, "").merged("mouth", decoder)


@pytest.fixture(scope="module")
def personal(engine: Engine, photo: Picture, deltas: Deltas) -> Avatar:
    return Avatar(Identity((Photo.of(*photo),), deltas=deltas), engine=engine)


def test_what_was_learnt_travels_in_the_file(personal: Avatar, photo: Picture) -> None:
    data = personal.identity.to_bytes()
    plain = Identity(personal.identity.photos, created=personal.identity.created).to_bytes()
    assert 100_000 < len(data) - len(plain) <= MOST_DELTA_BYTES
    again = Identity.from_bytes(data)
    assert again.deltas is not None
    assert again.deltas.score_after == personal.identity.deltas.score_after  # type: ignore[union-attr]
    assert again.to_bytes() == data
    sound = (np.zeros(2_000, np.float32), 16_000)
    for a, b in zip(
        personal.speak(sound, size=96), Avatar(again).speak(sound, size=96), strict=True
    ):
        np.testing.assert_array_equal(a.image, b.image)


def test_smaller_pictures_are_personal_too(personal: Avatar) -> None:
    portrait = personal._likeness(128, pixels=True).portrait
    assert isinstance(portrait, Portrait)
    assert set(portrait.decoders) == {"mouth"}


def test_what_was_learnt_for_other_weights_is_left_out_with_a_warning(
    engine: Engine, photo: Picture, deltas: Deltas
) -> None:
    foreign = Deltas(deltas.tensors, "0" * 64)
    with pytest.warns(UserWarning, match="personalise it again"):
        portrait = engine.prepare([photo], foreign)
    assert not portrait.decoders
    points = opened(engine, photo, 0.5)
    np.testing.assert_array_equal(
        engine.generator.render(portrait, points),
        engine.generator.render(engine.prepare([photo]), points),
    )


def test_changes_that_make_no_sense_are_a_damaged_file(personal: Avatar, deltas: Deltas) -> None:
    for name, wrong in (
        ("finite", torch.full((4,), float("nan"), dtype=torch.float16)),
        ("finite", torch.zeros(4)),
        ("large", torch.zeros(MOST_DELTA_BYTES, dtype=torch.float16)),
    ):
        broken = Deltas({**deltas.tensors, "mouth.style.shift": wrong}, deltas.weights_sha256)
        data = Identity(personal.identity.photos, deltas=broken).to_bytes()
        with pytest.raises(AvatarFileError, match=name):
            Identity.from_bytes(data)


# ── the door ─────────────────────────────────────────────────────────────────────────────────────


def png(image: ImageArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_avatar_is_personalised_and_the_first_stays(
    engine: Engine, photo: Picture, pictures: list[Picture]
) -> None:
    before = Avatar(Identity((Photo.of(*photo),)), engine=engine)
    calls: list[tuple[int, int]] = []
    after = before.personalize(
        [png(image) for image, _ in pictures], steps=10, progress=lambda *step: calls.append(step)
    )
    assert before.identity.deltas is None
    assert after.identity.deltas is not None
    assert after.identity.deltas.pictures == 1 + len(pictures)
    assert after.identity.photos == before.identity.photos
    assert calls == [(k + 1, 10) for k in range(10)]


def test_bad_pictures_and_steps_are_refused(engine: Engine, photo: Picture, tmp_path: Path) -> None:
    before = Avatar(Identity((Photo.of(*photo),)), engine=engine)
    with pytest.raises(ConfigError, match="steps"):
        before.personalize(steps=0)
    with pytest.raises(ImageError, match="nowhere"):
        before.personalize(tmp_path / "nowhere.jpg")
    with pytest.raises(NoFaceError):
        before.personalize([np.full((200, 200, 3), 90, np.uint8)])


def test_the_command_line_writes_the_file_and_says_what_came_of_it(
    repository: Path, photo: Picture, pictures: list[Picture], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for k, (image, _) in enumerate(pictures):
        (tmp_path / f"{k}.png").write_bytes(png(image))
    more = [str(tmp_path / f"{k}.png") for k in range(len(pictures))]
    first, out = str(repository / "examples" / "grace_hopper.jpg"), tmp_path / "own.avatar"
    assert run(["personalize", first, *more, "-o", str(out), "--steps", "10"]) == 0
    assert "closer to the truth" in capsys.readouterr().out
    assert Identity.load(out).deltas is not None
    assert run(["personalize", str(out), more[0], "-o", str(out), "--steps", "1", "--json"]) == 0
    said = capsys.readouterr()
    assert '"kept": false' in said.out
    assert "nothing is kept" in said.err
    assert Identity.load(out).deltas is None
