"""Many people drawn in one call: what each gets is what they would get alone."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from avatar.generator import Background, Generator, Portrait
from avatar.generator import generator as generator_module
from avatar.generator.batched import Batches
from avatar.generator.batched import batches as batched
from avatar.generator.batched.batches import BATCH_SIZES, batch_sizes, tell
from avatar.generator.batched.people import People, Shape
from avatar.generator.batched.program import TOLD_POINTS, Program
from avatar.generator.generator import GROUPS
from avatar.types import Face, FloatArray, ImageArray, Landmarks

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SIDE = 160

Wanted = list[tuple[Portrait, FloatArray]]


class OneByOne(nn.Module):
    """A decoder given one at a time of what comes together: then its rounding is always the same,
    and whatever differs between two batches is not the decoder's.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *told: Tensor) -> Tensor:
        each = zip(*(tensor.split(1) for tensor in told), strict=True)
        return torch.cat([self.decoder(*one) for one in each])


@pytest.fixture(scope="session")
def generator() -> Generator:
    """One that multiplies in float32, so that two ways to the same picture agree; in bfloat16 a sum
    taken in another order moves a bright edge beside a dark one by some levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator_module, "fast_dtype", lambda device: torch.float32)
        return Generator.load()


@pytest.fixture(scope="module")
def make(generator: Generator) -> Callable[..., Batches]:
    def batches(**options: Any) -> Batches:
        decoders = {name: OneByOne(one) for name, one in generator._decoders.items()}
        return Batches(CPU, GROUPS, decoders, **options)

    return batches


@pytest.fixture(scope="module")
def people(sit: Any) -> list[Any]:
    """Four square photos: two people, one of them mirrored and nearer, one grey."""
    astronaut: ImageArray = skimage.data.astronaut()
    photos = [
        astronaut[:300, 80:380],
        np.ascontiguousarray(astronaut[20:260, 340:100:-1]),
        np.repeat(astronaut[10:270, 110:370].mean(-1, keepdims=True).astype(np.uint8), 3, -1),
    ]
    return [sit(np.ascontiguousarray(photo)) for photo in photos]


def moved(sitter: Any, portrait: Portrait, **weights: float) -> FloatArray:
    """Landmarks of a pose, in pixels of a portrait of the sitter at another size."""
    scale = max(portrait.photo.shape[:2]) / max(sitter.image.shape[:2])
    points: FloatArray = ((sitter.pose(**weights) + 0.5) * scale - 0.5).astype(np.float32)
    return points


@pytest.fixture(scope="module")
def wanted(people: list[Any]) -> Wanted:
    """Frames of all, at one size: calm, speaking, blinking."""
    poses: list[dict[str, float]] = [{}, {"jawOpen": 0.6}, {"eyeBlink": 1.0}]
    frames = []
    for sitter in people:
        portrait = sitter.portrait.resized(SIDE)
        frames += [(portrait, moved(sitter, portrait, **pose)) for pose in poses]
    return frames


def assert_equal(found: Sequence[ImageArray], right: Sequence[ImageArray]) -> None:
    assert len(found) == len(right) > 0
    for one, other in zip(found, right, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_near(found: ImageArray, right: ImageArray, most: int = 1) -> None:
    """The same but for rounding."""
    assert found.shape == right.shape
    off = np.abs(found.astype(int) - right)
    assert off.max() <= most
    assert (off > 0).mean() < 0.01
    assert (off > 1).mean() < 0.0001


def test_it_draws_what_the_cpu_draws(
    generator: Generator, make: Callable[..., Batches], wanted: Wanted
) -> None:
    for found, (portrait, points) in zip(make().draw(wanted), wanted, strict=True):
        assert_near(found, generator.render(portrait, points))


def test_as_this_machine_multiplies_too(wanted: Wanted) -> None:
    own = Generator.load()
    decoders = {name: OneByOne(one) for name, one in own._decoders.items()}
    for found, (portrait, points) in zip(
        Batches(CPU, GROUPS, decoders).draw(wanted), wanted, strict=True
    ):
        assert_near(found, own.render(portrait, points), most=2)


@pytest.mark.parametrize("size", [65, 257, 520])
def test_all_sizes_are_drawn(
    generator: Generator, make: Callable[..., Batches], sitter: Any, size: int
) -> None:
    """Also of photos that are not square, and larger than they were taken."""
    portrait = sitter.portrait.resized(size)
    points = moved(sitter, portrait, jawOpen=0.5, eyeBlink=0.6)
    assert_near(make().draw([(portrait, points)])[0], generator.render(portrait, points))


def test_company_and_order_change_no_bit(make: Callable[..., Batches], wanted: Wanted) -> None:
    alone = make()
    right = [alone.draw([one])[0] for one in wanted]
    batches, order = make(), random.Random(0)
    for count in (len(wanted), 3, 5, 1, 8, 2):
        chosen = order.sample(range(len(wanted)), count)
        found = batches.draw([wanted[k] for k in chosen])
        assert_equal(found, [right[k] for k in chosen])


def test_the_same_person_may_be_there_twice(make: Callable[..., Batches], wanted: Wanted) -> None:
    batches = make()
    calm, speaking = batches.draw([wanted[0]])[0], batches.draw([wanted[1]])[0]
    found = batches.draw([wanted[0], wanted[1], wanted[0], wanted[0]])
    assert_equal(found, [calm, speaking, calm, calm])


def test_each_picture_is_the_callers_own(make: Callable[..., Batches], wanted: Wanted) -> None:
    batches = make()
    first = batches.draw(wanted[:2])
    kept = [picture.copy() for picture in first]
    batches.draw(wanted[2:4])
    assert_equal(first, kept)
    first[0][:] = 0
    assert first[1].flags.writeable
    assert_equal(batches.draw(wanted[:2]), kept)
    assert_equal(first[1:], kept[1:])


def test_batches_under_way_do_not_disturb_each_other(
    make: Callable[..., Batches], wanted: Wanted
) -> None:
    batches = make()
    right = [batches.draw([one])[0] for one in wanted[:6]]
    under_way = [batches.begin(wanted[k : k + 2]) for k in (0, 2, 4)]
    found = [picture for begun in under_way for batch in begun for picture in batch.pictures()]
    assert_equal(found, right)


def test_those_who_cannot_be_drawn_together_are_drawn_in_one_call_all_the_same(
    generator: Generator, make: Callable[..., Batches], people: list[Any], wanted: Wanted
) -> None:
    small = people[0].portrait.resized(96)
    mixed = [wanted[4], (small, moved(people[0], small, jawOpen=0.4)), wanted[1]]
    found = make().draw(mixed)
    assert [picture.shape[0] for picture in found] == [SIDE, 96, SIDE]
    for picture, (portrait, points) in zip(found, mixed, strict=True):
        assert_near(picture, generator.render(portrait, points))


@pytest.mark.parametrize("background", ["alpha", "#1e90ff", "blur"])
def test_a_new_background_is_drawn(
    generator: Generator, make: Callable[..., Batches], people: list[Any], background: str
) -> None:
    sitter = people[0]
    mask = np.zeros((50, 50), np.float32)
    mask[10:, 12:40] = 1.0
    mask[9, 12:40] = 0.5
    behind = Background.of(background)
    assert behind is not None
    portrait = behind.behind(sitter.portrait.resized(SIDE), mask)
    points = moved(sitter, portrait, jawOpen=0.6) + np.float32(3)
    found = make().draw([(portrait, points)])[0]
    assert found.shape[2] == (4 if background == "alpha" else 3)
    assert_near(found, generator.render(portrait, points))


def test_pictures_with_a_look_of_their_own_keep_it(
    generator: Generator, make: Callable[..., Batches], people: list[Any]
) -> None:
    """Grain, few tones, one material, grey: side by side with a photo of many colours."""
    noise = np.random.default_rng(0).normal(0, 6, people[0].image.shape[:2])[..., None]
    image = people[0].image
    light = image.mean(-1, keepdims=True)
    half = (np.arange(image.shape[1]) < 140)[None, :, None]
    looks = [
        image, np.clip(image + noise, 0, 255), np.clip(60 + light * 0.5 + noise, 0, 255),
        light * [1.0, 0.86, 0.66], gaussian_filter(light, (5, 5, 0)),
        image * np.where(half, [1.0, 0.6, 0.6], [0.6, 0.6, 1.0]),
    ]  # fmt: skip
    frames: Wanted = []
    for look in looks:
        photo = np.ascontiguousarray(np.broadcast_to(look, image.shape).astype(np.uint8))
        portrait = generator.prepare([(photo, people[0].face)]).resized(SIDE)
        frames.append((portrait, moved(people[0], portrait, jawOpen=0.5, eyeBlink=0.9)))
    kinds = [portrait.look for portrait, _ in frames]
    assert {look.grain is None for look in kinds} == {True, False}
    assert {look.curve is None for look in kinds} == {True, False}
    assert {look.tones is None for look in kinds} == {True, False}
    assert {look.grey for look in kinds} == {True, False}
    for found, (portrait, points) in zip(make().draw(frames), frames, strict=True):
        assert_near(found, generator.render(portrait, points))


@pytest.mark.parametrize("jaw", [0.0, 0.25, 0.6])
def test_several_photos_show_what_they_saw(
    generator: Generator, make: Callable[..., Batches], people: list[Any], jaw: float
) -> None:
    """From a mouth that only the first photo shows to one that only the second does."""
    sitter = people[0]
    wide = sitter.pose(jawOpen=0.6, eyeBlink=1.0)
    second = generator.render(sitter.portrait, wide), Face(Landmarks(wide), sitter.face.expression)
    portrait = generator.prepare([(sitter.image, sitter.face), second]).resized(SIDE)
    points = moved(sitter, portrait, jawOpen=jaw, eyeBlink=jaw)
    found = make().draw([(portrait, points)])[0]
    assert_near(found, generator.render(portrait, points))
    plain = generator.render(replace(portrait, views={}), points)
    assert (np.abs(found.astype(int) - plain).max() > 20) == (jaw > 0.5)


def test_a_person_with_decoders_of_their_own_is_drawn_by_them(
    generator: Generator, make: Callable[..., Batches], wanted: Wanted
) -> None:
    class Nothing(nn.Module):
        """Paints nothing at all."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

        def forward(self, warped: Tensor, *told: Tensor) -> Tensor:
            return torch.zeros_like(warped)

    portrait, points = wanted[1]
    own = replace(portrait, decoders={"mouth": Nothing(), "eye": Nothing()})
    batches = make()
    found = batches.draw([(portrait, points), (own, points), (portrait, points)])
    for picture, theirs in zip(found, (portrait, own, portrait), strict=True):
        assert_near(picture, generator.render(theirs, points))
    assert (found[0] != found[1]).any()


def test_more_people_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Batches], wanted: Wanted
) -> None:
    monkeypatch.setattr("avatar.generator.batched.people._MOST_PEOPLE", 2)
    monkeypatch.setattr(batched, "largest", lambda shape: 2)
    right = [make().draw([one])[0] for one in wanted]
    batches = make()
    for k in (0, 3, 6, 1, 4, 7):
        assert_equal(batches.draw([wanted[k]]), [right[k]])
    assert_equal(batches.draw(wanted), right)
    held = next(iter(batches._people.values()))
    assert held.room == 2


def test_who_was_not_drawn_for_the_longest_time_gives_up_the_place(wanted: Wanted) -> None:
    first, second, third = (wanted[k][0] for k in (0, 3, 6))
    held = People(first, GROUPS, CPU, 2)
    held.room = 2
    assert held.places([first, second]) == [0, 1]
    assert held.places([first]) == [0]
    assert held.places([third]) == [1]
    assert held.places([first]) == [0]
    assert held.places([second]) == [1]


def test_people_who_are_gone_are_not_kept(people: list[Any]) -> None:
    portrait = people[0].portrait.resized(SIDE)
    held = People(portrait, GROUPS, CPU, 2)
    assert held.places([portrait]) == [0]
    gone = weakref.ref(portrait)
    del portrait
    gc.collect()
    assert gone() is None
    assert held.places([people[1].portrait.resized(SIDE)]) == [0]


def test_shapes_and_batches_are_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Batches], people: list[Any]
) -> None:
    monkeypatch.setattr(batched, "_MOST_SHAPES", 2)
    monkeypatch.setattr(batched, "_MOST_PRESSES", 3)
    batches = make()
    right: dict[int, ImageArray] = {}
    for side in (64, 72, 80, 64, 72):
        portrait = people[0].portrait.resized(side)
        frame = portrait, moved(people[0], portrait, jawOpen=0.5)
        for count in (1, 2):
            found = batches.draw([frame] * count)[-1]
            np.testing.assert_array_equal(found, right.setdefault(side, found))
        assert len(batches._people) <= 2
        assert len(batches._presses) <= 3


@pytest.mark.parametrize("most", BATCH_SIZES)
def test_batches_hold_everyone_and_little_else(most: int) -> None:
    for count in range(1, 100):
        cut = list(batch_sizes(count, most))
        assert sum(taken for taken, _ in cut) == count
        assert all(size in BATCH_SIZES and size <= most for _, size in cut)
        assert all(0.75 * size <= taken <= size for taken, size in cut)


def test_large_pictures_come_in_small_batches() -> None:
    sizes = [batched.largest(Shape(side, side, 128, 0, "photo")) for side in (256, 512, 1024, 2048)]
    assert sizes == [32, 32, 8, 2]
    assert batched.largest(Shape(4096, 4096, 128, 0, "photo")) == 1


def test_compiled_it_draws_the_same(
    monkeypatch: pytest.MonkeyPatch, generator: Generator, wanted: Wanted
) -> None:
    """Without making kernels, which takes a minute, and of the eyes alone."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    decoders = {name: network.decoder for name, network in generator.networks.items()}
    plain, compiled = (Batches(CPU, GROUPS[1:], decoders, compiled=told) for told in (False, True))
    for frames in (wanted[4:6], wanted[:2]):
        for found, right in zip(compiled.draw(frames), plain.draw(frames), strict=True):
            assert_near(found, right)


@torch.no_grad()
def test_nothing_is_looked_at_on_the_way(
    generator: Generator, make: Callable[..., Batches], wanted: Wanted
) -> None:
    """What a graph or a GPU would have to wait for: sizes, branches or numbers that depend on the
    people. Traced for one batch, it draws any other.
    """
    portraits = [portrait for portrait, _ in wanted]
    batches = make()
    right = batches.draw(wanted[:4])
    (shape,) = {Shape.of(portrait) for portrait in portraits}
    held = People(portraits[0], GROUPS, CPU, 4)
    told = torch.empty(4, TOLD_POINTS, 2)
    decoders = {name: network.decoder for name, network in generator.networks.items()}
    program = Program(shape, GROUPS, decoders)
    still = [(portraits[-1], portraits[-1].landmarks.points)]
    tell(told, held.places(portraits[-1:]), still)
    traced = torch.export.export(program, (told, held.held))
    tell(told, held.places(portraits[:4]), wanted[:4])
    found = traced.module()(told, held.held)
    assert torch.equal(found, program(told, held.held))
    for picture, its in zip(found.numpy(), right, strict=True):
        assert_near(picture, its)


class FakeGraph:
    """What a CUDA graph does, on the CPU: repeats what was recorded, from and into the same
    memory.
    """

    recording: FakeGraph | None = None

    def __init__(self) -> None:
        self.again: list[Callable[[], object]] = []
        self.repeated = 0

    def replay(self) -> None:
        self.repeated += 1
        for call in self.again:
            call()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """All that are made, while CUDA's graphs are exchanged for these."""
    made: list[FakeGraph] = []
    forward = Program.forward

    @contextmanager
    def record(graph: FakeGraph, **options: object) -> Iterator[None]:
        FakeGraph.recording = graph
        try:
            yield
        finally:
            FakeGraph.recording = None
        made.append(graph)

    def noting(program: Program, told: Tensor, people: Any) -> Tensor:
        drawn = forward(program, told, people)
        if FakeGraph.recording is not None:
            again = lambda: drawn.copy_(forward(program, told, people))  # noqa: E731
            FakeGraph.recording.again.append(again)
        return drawn

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(Program, "forward", noting)
    return made


def test_what_is_recorded_once_draws_everyone(
    graphs: list[FakeGraph], make: Callable[..., Batches], wanted: Wanted
) -> None:
    right = [make().draw([one])[0] for one in wanted]
    batches = make()
    batches._recording = True
    batches.make_ready(wanted[0][0])
    assert len(graphs) == len(BATCH_SIZES)
    repeated = sum(graph.repeated for graph in graphs)
    order = random.Random(1)
    for count in (9, 2, 5, 1, 3):
        chosen = order.sample(range(len(wanted)), count)
        assert_equal(batches.draw([wanted[k] for k in chosen]), [right[k] for k in chosen])
    assert len(graphs) == len(BATCH_SIZES)
    assert sum(graph.repeated for graph in graphs) == repeated + 7
    assert batches.recording


def test_where_recording_fails_the_calls_are_made_one_by_one(
    graphs: list[FakeGraph],
    make: Callable[..., Batches],
    wanted: Wanted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @contextmanager
    def refuse(graph: FakeGraph, **options: object) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    right = make().draw(wanted)
    batches = make()
    batches._recording = True
    batches.make_ready(wanted[0][0])
    assert_equal(batches.draw(wanted), right)
    assert_equal(batches.draw(wanted[::-1]), right[::-1])
    assert not batches.recording
    (line,) = caplog.messages
    assert "without CUDA graphs" in line
    assert line.endswith("stream is capturing")


class Counting(TorchDispatchMode):
    """Counts operations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_a_batch_takes_as_many_operations_as_one_picture(
    generator: Generator, wanted: Wanted
) -> None:
    decoders = {name: network.decoder for name, network in generator.networks.items()}
    program = Program(Shape.of(wanted[0][0]), GROUPS, decoders)
    held = People(wanted[0][0], GROUPS, CPU, 8)
    counts = set()
    for frames in (wanted[:1], wanted[2:6], wanted[1:9]):
        told = torch.empty(len(frames), TOLD_POINTS, 2)
        tell(told, held.places([portrait for portrait, _ in frames]), frames)
        with Counting() as counting:
            program(told, held.held)
        counts.add(counting.count)
    assert len(counts) == 1
    assert counts.pop() > 100
