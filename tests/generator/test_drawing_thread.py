"""The thread that draws on a device: nobody waits, everything asked for meanwhile goes together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import pytest

from avatar.generator import DrawingThread
from avatar.types import ImageArray

SECONDS = 20.0
"""Longer than anything here takes."""


class Lot:
    """A batch whose pictures are the points they were asked with."""

    def __init__(self, device: Device, numbers: list[int], wanted: list[Any]) -> None:
        self.device, self.numbers, self.wanted = device, numbers, wanted

    def pictures(self) -> list[ImageArray]:
        self.device.handing_over.set()
        assert self.device.drawn.wait(SECONDS)
        if "lost" in self.wanted:
            raise RuntimeError("the device is lost")
        return [np.full(3, points, np.uint8) for points in self.wanted]


class Device:
    """Notes what it is asked to begin; it draws once ``drawn`` is set."""

    def __init__(self) -> None:
        self.begun: list[list[Any]] = []
        self.drawn, self.handing_over = threading.Event(), threading.Event()

    def begin(self, wanted: Any) -> list[Any]:
        points = [points for _, points in wanted]
        self.begun.append(points)
        if "unknown" in points:
            raise ValueError("nobody of that shape")
        # Two shapes: those that are even, those that are odd.
        kinds: dict[Any, list[int]] = {}
        for number, point in enumerate(points):
            kinds.setdefault(point if isinstance(point, str) else point % 2, []).append(number)
        return [Lot(self, own, [points[k] for k in own]) for own in kinds.values()]


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.drawn.set()


def ask(thread: DrawingThread, *points: Any) -> list[Future[ImageArray]]:
    portrait: Any = None
    return thread.submit([(portrait, point) for point in points])


def results(pictures: list[Future[ImageArray]]) -> list[int]:
    return [int(picture.result(SECONDS)[0]) for picture in pictures]


def test_each_gets_the_own_picture(device: Device) -> None:
    device.drawn.set()
    thread = DrawingThread(device.begin)
    assert results(ask(thread, 4, 7, 2, 9, 5)) == [4, 7, 2, 9, 5]
    assert results(ask(thread, 1)) == [1]
    assert ask(thread) == []


def test_asking_does_not_wait(device: Device) -> None:
    thread = DrawingThread(device.begin)
    pictures = ask(thread, 1, 2)
    assert not any(picture.done() for picture in pictures)
    device.drawn.set()
    assert results(pictures) == [1, 2]


def test_what_is_asked_for_meanwhile_is_drawn_together(device: Device) -> None:
    thread = DrawingThread(device.begin)
    pictures = ask(thread, 1)
    assert device.handing_over.wait(SECONDS)
    for point in range(2, 8):
        pictures += ask(thread, point)
    device.drawn.set()
    assert results(pictures) == [1, 2, 3, 4, 5, 6, 7]
    assert device.begun == [[1], [2, 3, 4, 5, 6, 7]]


def test_the_next_lot_is_begun_before_the_last_is_handed_over() -> None:
    order: list[str] = []
    asked = threading.Event()

    class Noting(Device):
        def begin(self, wanted: Any) -> list[Any]:
            assert order or asked.wait(SECONDS)
            order.append(f"begin {[points for _, points in wanted]}")
            return super().begin(wanted)

    device = Noting()
    device.drawn.set()
    thread = DrawingThread(device.begin)
    pictures = ask(thread, 1)
    # The first is taken alone only if the thread was quicker; then the second waits for it.
    pictures += ask(thread, 2)
    pictures[0].add_done_callback(lambda picture: order.append("first handed over"))
    asked.set()
    assert results(pictures) == [1, 2]
    assert order in (
        ["begin [1]", "begin [2]", "first handed over"], ["begin [1, 2]", "first handed over"],
    )  # fmt: skip


def test_one_at_fault_does_not_harm_the_others(device: Device) -> None:
    device.drawn.set()
    thread = DrawingThread(device.begin)
    good, bad, other = ask(thread, 1, "unknown", 3)
    assert results([good, other]) == [1, 3]
    with pytest.raises(ValueError, match="nobody"):
        bad.result(SECONDS)
    assert results(ask(thread, 5)) == [5]


def test_what_fails_on_the_device_fails_for_its_batch(device: Device) -> None:
    device.drawn.set()
    thread = DrawingThread(device.begin)
    good, bad = ask(thread, 1, "lost")
    assert results([good]) == [1]
    with pytest.raises(RuntimeError, match="lost"):
        bad.result(SECONDS)


def test_many_may_ask_at_once(device: Device) -> None:
    device.drawn.set()
    thread = DrawingThread(device.begin)
    found: dict[int, list[int]] = {}

    def work(who: int) -> None:
        found[who] = [results(ask(thread, who, k))[1] for k in range(50)]

    workers = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)
    assert found == {who: list(range(50)) for who in range(8)}


def test_whoever_waits_for_a_picture_is_told_from_the_thread(device: Device) -> None:
    thread = DrawingThread(device.begin)
    told: list[str] = []
    (picture,) = ask(thread, 1)
    picture.add_done_callback(lambda done: told.append(threading.current_thread().name))
    device.drawn.set()
    wait([picture], SECONDS)
    ask(thread, 2)[0].result(SECONDS)
    assert told[0].startswith("avatar-draw")
