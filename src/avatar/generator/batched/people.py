"""What a device holds of the people it draws: everything but where their faces shall be.

Each person has a place in arrays of one shape for all of them, so that a batch of different people
is one call: it is told their places and takes from the arrays what is theirs. What differs in size
(the picture the patches are cut from, the nodes of the flow) is filled up with what lies at its
border, where sampling would stop anyway.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.head import OVAL, RING_EVERY
from avatar.generator.inside import Inside
from avatar.generator.look import Look
from avatar.generator.parts import Part
from avatar.generator.portrait import Portrait
from avatar.generator.warping import inter_ocular

_NODES = 128
"""Rows and columns of the flow's nodes are filled up to a multiple of this: nearly everyone's."""

_MOST_PEOPLE = 64
_MOST_BYTES = 1 << 29
"""How many people of one shape are held, and about how much memory they may take."""

INSIDE = tuple(field.name for field in fields(Inside))
"""Names of what is held of the inside of a mouth."""

AROUND = len(OVAL[::RING_EVERY])
"""Points of the ring around the head."""

Held = dict[str, Tensor]
"""Of one person, or with one more axis in front of all."""


@dataclass(frozen=True)
class Shape:
    """What people must have in common to be drawn together.

    Attributes:
        height, width: of the picture.
        nodes: rows and columns of the flow.
        views: how many photos show the painted parts, beside each other; 0 for one photo alone.
        behind: what is seen behind the person: the ``photo``, a ``picture``, or ``nothing``.
    """

    height: int
    width: int
    nodes: int
    views: int
    behind: str

    @classmethod
    def of(cls, portrait: Portrait) -> Shape:
        height, width = portrait.photo.shape[:2]
        nodes = -(-max(portrait.nodes.shape[2:]) // _NODES) * _NODES
        views = max((len(views) for views in portrait.views.values()), default=0)
        cutout = portrait.cutout
        behind = "photo" if cutout is None else "picture"
        if cutout is not None and cutout.behind is None:
            behind = "nothing"
        return cls(height, width, nodes, views, behind)


class People:
    """The people of one shape on one device. Not thread-safe.

    Places are given up by those who are gone, then by those not drawn for the longest time.

    Args:
        first: someone of that shape.
        groups: parts painted together by one network.
        least: how many there must be room for: the people of the largest batch.
    """

    def __init__(
        self, first: Portrait, groups: Sequence[tuple[Part, ...]], device: torch.device, least: int
    ) -> None:
        self._groups = groups
        self._pinned = device.type == "cuda"
        example = held_of(first, Shape.of(first), groups)
        each = sum(tensor.numel() * tensor.element_size() for tensor in example.values())
        self.room = max(least, min(_MOST_PEOPLE, _MOST_BYTES // each))
        self.held: Held = {
            name: torch.zeros((self.room, *tensor.shape), dtype=tensor.dtype, device=device)
            for name, tensor in example.items()
        }
        self._places: weakref.WeakKeyDictionary[Portrait, int] = weakref.WeakKeyDictionary()
        self._drawn = [0] * self.room
        self._clock = 0

    def places(self, portraits: Sequence[Portrait]) -> list[int]:
        """Where each is held, brought there if need be; at most ``room`` of them."""
        self._clock += 1
        found = []
        for portrait in portraits:
            place = self._places.get(portrait)
            if place is None:
                place = self._bring(portrait, portraits)
            self._drawn[place] = self._clock
            found.append(place)
        return found

    def _bring(self, portrait: Portrait, needed: Sequence[Portrait]) -> int:
        owners = {place: owner for owner, place in self._places.items()}
        free = [place for place in range(self.room) if place not in owners]
        if free:
            place = free[0]
        else:
            kept = {id(one) for one in needed}
            others = [place for place, owner in owners.items() if id(owner) not in kept]
            place = min(others, key=lambda place: self._drawn[place])
            del self._places[owners[place]]
        for name, tensor in held_of(portrait, Shape.of(portrait), self._groups).items():
            # From page-locked memory nothing waits for the copy.
            source = tensor.contiguous().pin_memory() if self._pinned else tensor
            self.held[name][place].copy_(source, non_blocking=True)
        self._places[portrait] = place
        return place


def held_of(portrait: Portrait, shape: Shape, groups: Sequence[tuple[Part, ...]]) -> Held:
    """What is held of one person, on the CPU. Pictures are bytes, all else is float32."""
    left, top, right, bottom = portrait.region
    rows, columns = portrait.nodes.shape[2:]
    per_pixel = [(columns - 1) / (right - left - 1), (rows - 1) / (bottom - top - 1)]
    _, around = portrait.head.moved(portrait.landmarks.points)
    near = portrait.near[0]
    held = {
        "points": portrait.points[0],
        "around": around[0],
        "unit": inter_ocular(portrait.points)[0],
        "x": _filled(portrait.nodes[0, 0, 0], shape.nodes),
        "y": _filled(portrait.nodes[0, 1, :, 0], shape.nodes),
        "hold": _filled(portrait.hold[0] * portrait.rims, shape.nodes, shape.nodes),
        "corner": torch.tensor([left, top], dtype=torch.float32),
        "end": torch.tensor([right, bottom], dtype=torch.float32),
        "nodes_per_pixel": torch.tensor(per_pixel),
        "photo": portrait.planes[0].contiguous(),
        "near": _filled(near, shape.height, shape.width),
        "near_scale": torch.tensor(portrait.near_scale),
        "near_last": torch.tensor([near.shape[2] - 1.0, near.shape[1] - 1.0]),
    }
    held |= _look(portrait.look, groups[0][0].size)
    inside = portrait.inside or _nothing(groups[0][0].size)
    held |= {f"inside.{name}": getattr(inside, name)[0] for name in INSIDE}
    for group in groups:
        name = group[0].name
        held[f"{name}.style"] = portrait.styles[name].float()
        held[f"{name}.features"] = portrait.features[name].float().contiguous()
        if shape.views:
            views = portrait.views[name]
            for what in ("patches", "points", "features", "style"):
                each = [getattr(view, what).float() for view in views]
                held[f"{name}.views.{what}"] = torch.stack(each)
            made = [float(view.made) for view in views]
            held[f"{name}.views.made"] = torch.tensor(made, device=views[0].points.device)
    if portrait.cutout is not None:
        held["share"] = portrait.cutout.share[0]
        if portrait.cutout.behind is not None:
            behind = portrait.cutout.behind.permute(2, 0, 1)
            held["behind"] = behind.to(torch.uint8).contiguous()
    return held


def _nothing(size: int) -> Inside:
    """The inside of a closed mouth."""
    return Inside.of(torch.zeros(1, 1, 3, size, size), torch.zeros(1, 1, 20, 2))


def _look(look: Look, size: int) -> Held:
    """What paint must keep to, in numbers that say "no limit" where there is none."""
    dark, light = look.tones or (-torch.inf, torch.inf)
    curve = torch.zeros(2, 3) if look.curve is None else torch.from_numpy(look.curve)
    reach = [torch.inf] * 2 if look.curve is None else look.reach.tolist()
    limited = look.tones is not None or look.curve is not None
    return {
        "tones": torch.tensor([dark, light]),
        "grey": torch.tensor(float(look.grey and limited)),
        "one_material": torch.tensor(float(look.curve is not None)),
        "curve": curve.float(),
        "reach": torch.tensor(reach),
        "known": torch.tensor(look.known),
        "crispness": torch.tensor(look.crispness),
        "grain": torch.zeros(size, size) if look.grain is None else look.grain,
    }


def _filled(tensor: Tensor, *size: int) -> Tensor:
    """With the last axes filled up to ``size`` with what lies at their ends."""
    missing = [want - have for want, have in zip(size, tensor.shape[-len(size) :], strict=True)]
    before_and_after = [n for axis in reversed(missing) for n in (0, axis)]
    shaped = tensor[(None,) * (len(size) + 2 - tensor.dim())]
    whole = functional.pad(shaped.float(), before_and_after, mode="replicate")
    return whole.view(*tensor.shape[: -len(size)], *size).to(tensor.dtype)


def taken(people: Held, places: Tensor) -> Held:  # [B] int64
    """What is held of those at ``places``, a batch of them."""
    return {name: tensor.index_select(0, places) for name, tensor in people.items()}
