"""The engine: one set of models, pictures on one core each, the same bits however it is driven."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import skimage.data
import torch

from avatar import Avatar, Frame, Session
from avatar.bench import voice
from avatar.engine import Engine
from avatar.generator import Generator, Portrait
from avatar.types import FloatArray, ImageArray


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar.from_image(skimage.data.astronaut()[:300, 80:380])


def talking(person: Avatar, **settings: object) -> Session:
    session = person.session(size=96, **settings)  # type: ignore[arg-type]
    session.push_audio(voice(0.4))
    session.flush()
    return session


def assert_same_pictures(left: list[Frame], right: list[Frame]) -> None:
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_drawing_leaves_the_threads_of_torch_as_they_were(person: Avatar) -> None:
    def threads_elsewhere() -> int:
        found: list[int] = []
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
        return found[0]

    before = torch.get_num_threads(), threads_elsewhere()
    assert list(talking(person))
    assert (torch.get_num_threads(), threads_elsewhere()) == before


_DIGEST = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[2]))
from avatar import Avatar
from avatar.bench import voice
with Avatar.load(sys.argv[1]).session(size=128) as session:
    session.push_audio(voice(0.3))
    session.flush()
    print(hashlib.sha256(b"".join(frame.image.tobytes() for frame in session)).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit(
    person: Avatar, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = str(person.save(tmp_path_factory.mktemp("person") / "x.avatar"))
    digests = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _DIGEST, path, threads],
            check=True, capture_output=True, text=True,
        ).stdout
        for threads in ("1", "3")
    ]  # fmt: skip
    assert digests[0] == digests[1]
    assert len(digests[0]) > 60


def test_stepping_and_iterating_draw_the_same(person: Avatar) -> None:
    iterated, stepped = list(talking(person)), []
    session = talking(person)
    while (frame := person.engine.step([session])[0]) is not None:
        stepped.append(frame)
    assert_same_pictures(stepped, iterated)


def test_sessions_of_several_avatars_step_together(person: Avatar) -> None:
    other = Avatar.from_image(np.ascontiguousarray(skimage.data.astronaut()[:300, 380:80:-1]))
    alone = [list(talking(person)), list(talking(other, seed=3))]
    sessions = [talking(person), talking(person, pixels=False), talking(other, seed=3)]
    together: list[list[Frame]] = [[], [], []]
    while any(frames := person.engine.step(sessions)):
        for taken, frame in zip(together, frames, strict=True):
            taken += [] if frame is None else [frame]
    assert_same_pictures(together[0], alone[0])
    assert_same_pictures(together[2], alone[1])
    assert {frame.image is None for frame in together[1]} == {True}


def test_a_picture_that_cannot_be_drawn_is_an_error_and_the_session_goes_on(
    person: Avatar,
) -> None:
    class Fragile(Generator):
        """Draws grey, but not the third time."""

        def __init__(self) -> None:
            self.calls = 0

        def render(self, portrait: Portrait, landmarks: FloatArray) -> ImageArray:
            self.calls += 1
            if self.calls == 3:
                raise MemoryError("no room for the picture")
            return np.full(portrait.photo.shape, 90, np.uint8)

    fragile = Fragile()

    class FragileEngine(Engine):
        @property
        def generator(self) -> Generator:
            return fragile

    likeness = talking(person)._likeness
    engine = FragileEngine()
    with Session(engine, likeness, config=person.session(size=96).config) as session:
        session.push_audio(voice(0.4))
        session.flush()
        frames = []
        for _ in range(2):
            frames += engine.step([session])
        with pytest.raises(MemoryError):
            engine.step([session])
        for _ in range(3):
            frames += engine.step([session])
        session.interrupt()
        session.push_audio(voice(0.1))
        session.flush()
        frames += list(session)
    assert [frame.index for frame in frames if frame is not None] == [0, 1, 3, 4, 5, 6, 7]


def test_importing_and_making_an_engine_starts_no_thread() -> None:
    code = (
        "import threading, torch; n = torch.get_num_threads(); "
        "from avatar.engine import Engine; Engine.default(); "
        "assert threading.active_count() == 1; assert torch.get_num_threads() == n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
