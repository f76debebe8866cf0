"""Pictures of many people at once on one device, without a wait.

Per frame the landmarks go up and the bytes of the picture come down; all else lies on the device
(``people``). Batches have one of a few sizes and are filled up to it, so that each size runs on
arrays of its own that are always the same, which is what lets CUDA record it once as a graph and
repeat it: the some five hundred calls of a batch become one. Where recording fails, the same calls
are made one by one.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar.generator.batched.people import Held, People, Shape
from avatar.generator.batched.program import TOLD_POINTS, Program
from avatar.generator.parts import Part
from avatar.generator.portrait import Portrait
from avatar.types import LANDMARK_COUNT, FloatArray, ImageArray

BATCH_SIZES = (1, 2, 4, 8, 16, 32)

_MOST_PIXELS = 1 << 23
"""Of the pictures of one batch: 32 of 512², 8 of 1024². Some 100 bytes of memory for each."""

_MOST_SHAPES, _MOST_PRESSES = 8, 48
"""How many shapes of people, and how many sizes of batches of them, are kept ready."""

Wanted = Sequence[tuple[Portrait, FloatArray]]
"""People, each with the landmarks ``[478, 3]`` in pixels of ``Portrait.photo``."""

_Draw = Callable[[Tensor, Held], Tensor]

_Kind = tuple[Shape, tuple[nn.Module, ...]]
"""What people must have in common to be drawn together: also the decoders, one a group."""

log = logging.getLogger("avatar")


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures that are being drawn.

    Attributes:
        numbers: which of the wanted pictures they are.
    """

    numbers: list[int]
    _bytes: Tensor
    _arrived: torch.cuda.Event | None

    def pictures(self) -> list[ImageArray]:
        """Each the caller's own ``[H, W, 3 or 4]`` uint8. Waits until they are drawn."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return [np.array(picture) for picture in self._bytes.numpy()]


class _Press:
    """The arrays of one size of batch, and what draws into them."""

    def __init__(self, draw: _Draw, people: Held, size: int) -> None:
        self._draw = draw
        self._people = people
        self._told = people["points"].new_zeros(size, TOLD_POINTS, 2)
        self._pictures: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(self, pool: Any) -> None:
        """Make a graph of the calls.

        Raises:
            RuntimeError: one of them cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls are looked at: others may do with the device what they like.
        stream = torch.cuda.current_stream(self._told.device)
        mode = "thread_local"
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=mode):
            pictures = self._draw(self._told, self._people)
        self._pictures, self._graph = pictures, graph

    def draw(self, told: Tensor) -> Tensor:  # [B, TOLD_POINTS, 2] -> [B, H, W, 3 or 4]
        """The pictures, good until the next call."""
        self._told.copy_(told, non_blocking=True)
        if self._graph is None:
            drawn = self._draw(self._told, self._people)
            if self._pictures is None:
                self._pictures = torch.empty_like(drawn)
            return self._pictures.copy_(drawn)
        assert self._pictures is not None
        self._graph.replay()
        return self._pictures


class Batches:
    """Draws people on one device. Calls from several threads take turns.

    Args:
        device: where to.
        groups: parts painted together by one network, in the order of painting.
        decoders: the shipped one of each group, by name, on the device.
        graphs: record and repeat, where the device is CUDA's.
        compiled: let ``torch.compile`` make fewer and larger kernels. It takes a minute or more
            for each shape and size of batch, at its first pictures.
    """

    def __init__(
        self,
        device: torch.device,
        groups: Sequence[tuple[Part, ...]],
        decoders: Mapping[str, nn.Module],
        *,
        graphs: bool = True,
        compiled: bool = False,
    ) -> None:
        self._device = device
        self._groups = groups
        self._shipped = decoders
        self._compiled = compiled
        self._on_cuda = device.type == "cuda"
        self._recording = graphs and self._on_cuda
        self._pool = torch.cuda.graph_pool_handle() if self._recording else None
        stream: Any = torch.cuda.Stream  # it has no types
        self._stream = stream(device) if self._on_cuda else None
        self._lock = threading.Lock()
        self._people: OrderedDict[Shape, People] = OrderedDict()
        self._presses: OrderedDict[tuple[_Kind, int], _Press] = OrderedDict()

    @property
    def recording(self) -> bool:
        """Whether batches are graphs: the device is CUDA's, and recording has not failed."""
        return self._recording

    def begin(self, wanted: Wanted) -> list[Batch]:
        """Begin to draw; together the batches give each of the wanted pictures once."""
        begun = []
        with self._lock, self._at_work():
            for kind, numbers in self._by_kind(wanted).items():
                for count, size in batch_sizes(len(numbers), largest(kind[0])):
                    chosen, numbers = numbers[:count], numbers[count:]
                    together = [wanted[number] for number in chosen]
                    begun.append(Batch(chosen, *self._send(kind, size, together)))
        return begun

    def draw(self, wanted: Wanted) -> list[ImageArray]:
        """Draw and wait."""
        found: dict[int, ImageArray] = {}
        for batch in self.begin(wanted):
            found.update(zip(batch.numbers, batch.pictures(), strict=True))
        return [found[number] for number in range(len(wanted))]

    def make_ready(self, portrait: Portrait) -> None:
        """Bring a person to the device and record each size of batch, so that nothing of that
        happens in the middle of a stream.
        """
        shape, decoders = self._kind_of(portrait)
        for size in BATCH_SIZES if self._recording else (1,):
            recorded = ((shape, decoders), size) in self._presses
            if size == 1 or (size <= largest(shape) and not recorded):
                self.draw([(portrait, portrait.landmarks.points)] * size)

    def _by_kind(self, wanted: Wanted) -> dict[_Kind, list[int]]:
        """The numbers of those that can be drawn together."""
        kinds: dict[_Kind, list[int]] = {}
        for number, (portrait, _) in enumerate(wanted):
            kinds.setdefault(self._kind_of(portrait), []).append(number)
        return kinds

    def _kind_of(self, portrait: Portrait) -> _Kind:
        names = [group[0].name for group in self._groups]
        decoders = [portrait.decoders.get(name, self._shipped[name]) for name in names]
        return Shape.of(portrait), tuple(decoders)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            yield

    def _send(
        self, kind: _Kind, size: int, wanted: Wanted
    ) -> tuple[Tensor, torch.cuda.Event | None]:
        """The bytes of some pictures in the making, and what happens when they are there."""
        people = self._people_of(wanted[0][0])
        places = people.places([portrait for portrait, _ in wanted])
        # Torch keeps page-locked memory for the next time, and gives none out again that a copy
        # still needs.
        told = torch.empty(size, TOLD_POINTS, 2, pin_memory=self._on_cuda)
        tell(told, places, wanted)
        drawn = self._press(kind, size, people, told).draw(told)[: len(wanted)]
        pictures = torch.empty(drawn.shape, dtype=torch.uint8, pin_memory=self._on_cuda)
        pictures.copy_(drawn, non_blocking=True)
        if self._stream is None:
            return pictures, None
        arrived: Any = torch.cuda.Event
        return pictures, self._stream.record_event(arrived(blocking=True))

    def _people_of(self, portrait: Portrait) -> People:
        """Those of the shape of ``portrait``; the shape not drawn for the longest time may go."""
        shape = Shape.of(portrait)
        if shape not in self._people:
            self._people[shape] = People(portrait, self._groups, self._device, largest(shape))
        self._people.move_to_end(shape)
        if len(self._people) > _MOST_SHAPES:
            gone, _ = self._people.popitem(last=False)
            for key in [key for key in self._presses if key[0][0] == gone]:
                self._forget(key)
        return self._people[shape]

    def _press(self, kind: _Kind, size: int, people: People, told: Tensor) -> _Press:
        key = kind, size
        if key not in self._presses:
            if len(self._presses) == _MOST_PRESSES:
                self._forget(next(iter(self._presses)))
            self._presses[key] = self._new_press(kind, size, people, told)
        self._presses.move_to_end(key)
        return self._presses[key]

    def _new_press(self, kind: _Kind, size: int, people: People, told: Tensor) -> _Press:
        shape, decoders = kind
        names = [group[0].name for group in self._groups]
        named = dict(zip(names, decoders, strict=True))
        if self._stream is not None:
            # The decoders may be a person's own, just laid out there by whoever prepared them.
            self._stream.wait_stream(torch.cuda.default_stream(self._device))
        program = Program(shape, self._groups, named).to(self._device)
        press = _Press(_compiled(program) if self._compiled else program, people.held, size)
        if self._recording:
            # What is made at the first call of an operation cannot be recorded.
            press.draw(told)
            try:
                press.record(self._pool)
            except RuntimeError as error:
                self._recording = False
                reason = str(error).partition("\n")[0]
                log.warning("drawing without CUDA graphs, as one cannot be recorded: %s", reason)
        return press

    def _forget(self, key: tuple[_Kind, int]) -> None:
        if self._stream is not None:
            self._stream.synchronize()  # it may be at work
        del self._presses[key]


def tell(told: Tensor, places: Sequence[int], wanted: Wanted) -> None:
    """Write what a program is told: of nobody, in the rest of the batch, the first once more."""
    rows = told.numpy()
    for row, place, (portrait, points) in zip(rows, places, wanted, strict=False):
        row[:LANDMARK_COUNT] = points[:, :2]
        row[LANDMARK_COUNT:-1] = portrait.head.moved(points)[0][0]
        row[-1] = place
    rows[len(wanted) :] = rows[0]


def batch_sizes(count: int, most: int) -> Iterator[tuple[int, int]]:
    """How to draw ``count`` pictures: how many in each batch, and its size.

    At most a quarter of a batch is drawn for nobody.
    """
    while count:
        size = min(most, 1 << (count - 1).bit_length())
        if 4 * count < 3 * size:
            size //= 2
        yield min(count, size), size
        count -= min(count, size)


def largest(shape: Shape) -> int:
    """The largest batch of pictures of that shape."""
    pixels = shape.height * shape.width
    return max(size for size in BATCH_SIZES if size == 1 or size * pixels <= _MOST_PIXELS)


def _compiled(program: Program) -> _Draw:
    compiled: _Draw = torch.compile(program, fullgraph=True, dynamic=False)

    def draw(told: Tensor, people: Held) -> Tensor:
        # Each shape and size is compiled on its own, and all count as one function.
        with torch._dynamo.config.patch(cache_size_limit=_MOST_PRESSES):
            return compiled(told, people)

    return draw
