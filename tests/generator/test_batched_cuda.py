"""Drawing on a GPU: recorded, in any company, without a wait. Needs no detector.

Skipped where there is no GPU, unless ``AVATAR_NEEDS_CUDA`` is set: then its lack is a failure.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar import Avatar
from avatar.engine import Engine
from avatar.generator import Batches, Generator, Portrait
from avatar.generator.batched.batches import BATCH_SIZES
from avatar.generator.generator import GROUPS
from avatar.motion import Retargeter
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray, Landmarks

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() and "AVATAR_NEEDS_CUDA" not in os.environ,
    reason="no CUDA GPU (set AVATAR_NEEDS_CUDA where there must be one)",
)

Wanted = list[tuple[Portrait, FloatArray]]
SIDE = 192


@pytest.fixture(scope="module")
def gpu() -> Generator:
    return Generator.load("cuda")


@pytest.fixture(scope="module")
def wanted(repository: Path, gpu: Generator) -> Wanted:
    """A person and two others made of the same photo, calm, speaking and blinking."""
    person = Avatar.load(repository / "tests" / "golden" / "eileen_collins_v1.avatar")
    photo = person.identity.photos[0]
    pose = np.zeros((3, len(ARKIT_NAMES)), np.float32)
    pose[1, ARKIT_NAMES.index("jawOpen")] = 0.6
    pose[2, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 1.0
    upright, still = np.array([1, 0, 0, 0], np.float32), np.zeros(3, np.float32)
    frames: Wanted = []
    for k in range(3):
        points = photo.face.landmarks.points - np.array([8 * k, 5 * k, 0], np.float32)
        image = np.roll(photo.image, (-5 * k, -8 * k), (0, 1)) // (k + 1)
        face = Face(Landmarks(points), photo.face.expression)
        portrait = gpu.prepare([(image, face)]).resized(SIDE)
        move = Retargeter(person.engine.rig, portrait.landmarks, portrait.expression).landmarks
        frames += [(portrait, move(one, upright, still, still[:2])) for one in pose]
    return frames


@pytest.fixture(scope="module")
def eager(gpu: Generator) -> Batches:
    return Batches(torch.device("cuda"), GROUPS, gpu._decoders, graphs=False)


@pytest.fixture
def strict() -> Iterator[None]:
    """Whatever waits for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def largest_difference(found: list[ImageArray], right: list[ImageArray]) -> int:
    assert len(found) == len(right) > 0
    return max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(found, right, strict=True))


def test_a_graph_draws_what_its_calls_draw(gpu: Generator, eager: Batches, wanted: Wanted) -> None:
    assert gpu.batches is not None
    for count in (1, 2, 4, 8):
        found = gpu.batches.draw(wanted[:count])
        assert largest_difference(found, eager.draw(wanted[:count])) == 0
    assert gpu.batches.recording
    assert not eager.recording


def test_repeated_with_other_people_it_draws_them(
    gpu: Generator, eager: Batches, wanted: Wanted
) -> None:
    assert gpu.batches is not None
    for start in (0, 4, 2, 0):
        frames = wanted[start : start + 4]
        assert largest_difference(gpu.batches.draw(frames), eager.draw(frames)) == 0


def test_company_changes_no_more_than_rounding(gpu: Generator, wanted: Wanted) -> None:
    together = gpu.render_many(wanted)
    alone = [gpu.render_many([one])[0] for one in wanted]
    off = np.abs(np.stack(together).astype(int) - np.stack(alone))
    assert off.max() <= 8
    assert (off > 1).mean() < 0.001


def test_it_draws_what_the_cpu_draws(gpu: Generator, wanted: Wanted) -> None:
    on_cpu = Generator.load()
    for found, (portrait, points) in zip(gpu.render_many(wanted), wanted, strict=True):
        off = np.abs(found.astype(int) - on_cpu.render(portrait, points))
        assert off.max() <= 12
        assert (off > 2).mean() < 0.002


def test_nothing_waits_on_the_way(gpu: Generator, wanted: Wanted, strict: None) -> None:
    assert gpu.batches is not None
    torch.cuda.set_sync_debug_mode("default")
    gpu.batches.draw(wanted[:4])
    torch.cuda.set_sync_debug_mode("error")
    under_way = [gpu.batches.begin(wanted[k : k + 4]) for k in (0, 4, 1)]
    torch.cuda.set_sync_debug_mode("default")
    for batches in under_way:
        assert sum(len(batch.pictures()) for batch in batches) == 4


def test_a_newcomer_makes_nobody_wait(gpu: Generator, wanted: Wanted, strict: None) -> None:
    assert gpu.batches is not None
    torch.cuda.set_sync_debug_mode("default")
    gpu.batches.draw(wanted[:1])
    newcomer = wanted[0][0].resized(SIDE + 1).resized(SIDE)
    torch.cuda.set_sync_debug_mode("error")
    begun = gpu.batches.begin([(newcomer, wanted[0][1])])
    torch.cuda.set_sync_debug_mode("default")
    assert begun[0].pictures()[0].shape == newcomer.photo.shape


def test_what_cannot_be_recorded_is_drawn_call_by_call(
    gpu: Generator,
    eager: Batches,
    wanted: Wanted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from avatar.generator.batched import program

    forward = program.Program.forward

    def looking(self: program.Program, told: torch.Tensor, people: object) -> torch.Tensor:
        float(told[0, 0, 0])  # waits for the device, which no graph can
        return forward(self, told, people)  # type: ignore[arg-type]

    right = eager.draw(wanted[:4])
    monkeypatch.setattr(program.Program, "forward", looking)
    batches = Batches(torch.device("cuda"), GROUPS, gpu._decoders)
    with caplog.at_level(logging.WARNING, "avatar"):
        for _ in range(2):
            assert largest_difference(batches.draw(wanted[:4]), right) == 0
            assert batches.draw(wanted[:1])[0].shape == right[0].shape
    assert not batches.recording
    assert [record.name for record in caplog.records] == ["avatar"]
    assert "without CUDA graphs" in caplog.text


def test_all_sizes_are_ready_before_the_first_frame(wanted: Wanted) -> None:
    engine = Engine("cuda")
    batches = engine.generator.batches
    assert batches is not None
    portrait = wanted[0][0]
    engine.warm_up(portrait)
    assert len(batches._presses) == len(BATCH_SIZES)
    pictures = engine._drawing.get().submit(wanted)
    assert [picture.result(60).shape for picture in pictures] == [portrait.photo.shape] * 9
    assert len(batches._presses) == len(BATCH_SIZES)
