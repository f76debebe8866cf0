"""The engine: one set of models, pictures on one core each, the same bits however it is driven."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import skimage.data
import torch

from avatar import Avatar, Frame, Session
from avatar.bench import voice
from avatar.engine import Engine, FrameRequest, _Lazy
from avatar.errors import ConfigError
from avatar.generator import Batches, DrawingThread, Generator, Portrait
from avatar.generator.generator import GROUPS
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


@pytest.fixture(scope="module")
def together(person: Avatar) -> Iterator[Engine]:
    """An engine that draws as one for a GPU does, on the CPU."""

    class Together(Engine):
        def __init__(self) -> None:
            super().__init__()
            self._on_cpu = False

        @property
        def generator(self) -> Generator:
            return generator

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = Generator.load()
    generator.batches = Batches(torch.device("cpu"), GROUPS, generator._decoders)
    yield Together()
    torch.set_num_threads(threads)


def on(engine: Engine, session: Session) -> Session:
    """The session on another engine."""
    moved = Session(engine, session._likeness, config=session.config)
    moved.push_audio(voice(0.4))
    moved.flush()
    return moved


def assert_like_pictures(left: Sequence[Frame | None], right: Sequence[Frame | None]) -> None:
    """The same but for rounding."""
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        assert a is not None
        assert b is not None
        off = np.abs(a.image.astype(int) - b.image)
        assert off.max() <= 2
        assert (off > 0).mean() < 0.01


def test_an_engine_that_draws_together_shows_the_same(person: Avatar, together: Engine) -> None:
    alone = list(talking(person))
    assert_like_pictures(list(on(together, talking(person))), alone)
    other = Avatar.from_image(np.ascontiguousarray(skimage.data.astronaut()[:300, 380:80:-1]))
    sessions = [on(together, talking(who)) for who in (person, other, person)]
    stepped: list[list[Frame | None]] = []
    while any(frames := together.step(sessions)):
        stepped.append(frames)
    assert_like_pictures([frames[0] for frames in stepped], alone)
    assert_like_pictures([frames[2] for frames in stepped], alone)
    assert_like_pictures([frames[1] for frames in stepped], list(talking(other)))


def test_hearing_and_asking_go_on_while_a_device_draws(
    person: Avatar, together: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = threading.Event()
    batches = together.generator.batches
    assert batches is not None
    begin = batches.begin

    def begin_late(wanted: object) -> object:
        assert drawn.wait(60)
        return begin(wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(together, "_drawing", _Lazy(lambda: DrawingThread(begin_late)))  # type: ignore[arg-type]
    session = on(together, talking(person))
    try:
        drawings = [together.begin([session])[0] for _ in range(4)]
        assert not any(drawing is None or drawing.done() for drawing in drawings)
        session.push_audio(voice(0.2))
        session.flush()
        drawings += [together.begin([session])[0] for _ in range(3)]
    finally:
        drawn.set()
    frames = [drawing.frame() for drawing in drawings if drawing is not None]
    assert [frame.index for frame in frames if frame is not None] == list(range(7))
    session.close()


def test_a_picture_drawn_smaller_comes_at_full_size(person: Avatar, together: Engine) -> None:
    session = person.session(size=96)
    likeness = session._likeness
    assert likeness.portrait is not None
    points = likeness.portrait.landmarks.points
    frame = next(iter(talking(person)))
    request = FrameRequest(
        frame=frame, portrait=likeness.half, points=likeness.in_half(points), enlarge_to=(96, 96)
    )
    whole = FrameRequest(frame=frame, portrait=likeness.portrait, points=points)
    again = FrameRequest(frame=frame, picture=likeness.portrait.photo)
    pictures = [picture.result(60) for picture in together._draw([request, again, whole])]
    assert [picture is not None and picture.shape for picture in pictures] == [(96, 96, 3)] * 3
    np.testing.assert_array_equal(pictures[1], likeness.portrait.photo)
    assert pictures[1] is not likeness.portrait.photo
    session.close()


def test_frames_without_pictures_load_no_generator(person: Avatar) -> None:
    class NoGenerator(Engine):
        @property
        def generator(self) -> Generator:
            raise AssertionError("loaded")

    for device in ("cpu", "cuda"):
        engine = NoGenerator(device)
        session = on(engine, person.session(pixels=False))
        assert len(list(session)) == 10


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match=r"cuda.*no CUDA GPU"):
        _ = Engine("cuda").generator
    with pytest.raises(ConfigError, match="nothing is drawn on device"):
        _ = Engine("gpu").generator


def test_the_drawing_of_the_cpu_is_not_compiled() -> None:
    with pytest.raises(ConfigError, match="on a GPU"):
        _ = Engine(compiled=True).generator


def test_importing_and_making_an_engine_starts_no_thread() -> None:
    code = (
        "import threading, torch; n = torch.get_num_threads(); "
        "from avatar.engine import Engine; Engine.default(); "
        "assert threading.active_count() == 1; assert torch.get_num_threads() == n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
