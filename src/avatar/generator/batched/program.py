"""A batch of pictures of different people as one function of tensors.

It draws what ``Generator.render`` draws on the CPU, but for rounding, and does so without a look at
any number: no branch, no size and no place in memory depends on who the people are or on where
their faces shall be. So a GPU can be given all of it at once and repeat it as a graph, and a
compiler sees it whole.

Places in images are those of ``grid_sample`` with aligned corners: -1 and 1 are the centres of the
first and last pixel. Places in a part's square are such places already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avatar.generator.batched.flow import Flow
from avatar.generator.batched.parts import Parts, Scene, sampled, sampled_paint
from avatar.generator.batched.people import AROUND, Held, Shape, taken
from avatar.generator.parts import Part
from avatar.types import LANDMARK_COUNT

TOLD_POINTS = LANDMARK_COUNT + AROUND + 1
"""Points that say what to draw: the landmarks, the ring around the head, and (place of the person,
0).
"""


class Program(nn.Module):
    """Draws people of one shape with one set of decoders.

    Args:
        shape: of the people.
        groups: parts painted together by one network, in the order of painting.
        decoders: of each group, by its name, on the device.
    """

    def __init__(
        self,
        shape: Shape,
        groups: Sequence[tuple[Part, ...]],
        decoders: Mapping[str, nn.Module],
    ) -> None:
        super().__init__()
        self._shape = shape
        self._flow = Flow()
        self._parts = nn.ModuleList(
            Parts(group, decoders[group[0].name], views=shape.views) for group in groups
        )
        self.columns: Tensor
        self.rows: Tensor
        for name, count in (("columns", shape.width), ("rows", shape.height)):
            self.register_buffer(name, torch.arange(count).float(), persistent=False)

    def forward(
        self,
        told: Tensor,  # [B, TOLD_POINTS, 2] float32
        people: Held,
    ) -> Tensor:  # [B, H, W, 3] uint8, or 4 where what is behind is transparent
        held = taken(people, told[:, -1, 0].long())
        target, around = told[:, :LANDMARK_COUNT], told[:, LANDMARK_COUNT:-1]
        flow = self._flow(
            held["x"], held["y"], target, held["points"], held["unit"], (around, held["around"])
        )
        hold = held["hold"]
        moved = torch.where(flow < 0.0, hold[:, 0], hold[:, 1]) * flow
        positions = torch.stack(
            [moved[:, 0] + held["x"].unsqueeze(1), moved[:, 1] + held["y"].unsqueeze(2)], 1
        )
        shown, inside = self._shown(held, positions)
        photo = held["photo"].float()
        picture = sampled(photo, shown).round()
        for parts in self._parts:
            paint, to_patch = parts(Scene(held, target, positions))
            for k in range(paint.shape[1]):
                picture = self._laid_on(picture, paint[:, k], to_patch[:, k])
        picture = torch.where(inside, picture, photo)
        picture = self._before(picture, held, shown, inside)
        return picture.permute(0, 2, 3, 1).to(
            torch.uint8, memory_format=torch.contiguous_format
        )  # fmt: skip

    def _shown(self, held: Held, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of each pixel, the place in the photo that is shown there, ``[B, 2, H, W]``, and whether
        it may change at all, ``[B, 1, H, W]``.
        """
        (left, top), (right, bottom) = (held[name].T.unsqueeze(2) for name in ("corner", "end"))
        across = (self.columns >= left) & (self.columns < right)
        down = (self.rows >= top) & (self.rows < bottom)
        per_node = held["nodes_per_pixel"] * (2 / (positions.shape[-1] - 1))
        x = (self.columns - left) * per_node[:, :1] - 1.0
        y = (self.rows - top) * per_node[:, 1:] - 1.0
        size = (len(x), len(self.rows), len(self.columns))
        nodes = torch.stack([x.unsqueeze(1).expand(size), y.unsqueeze(2).expand(size)], 1)
        in_photo = torch.stack([
            positions[:, 0] * (2 / (self._shape.width - 1)) - 1.0,
            positions[:, 1] * (2 / (self._shape.height - 1)) - 1.0,
        ], 1)  # fmt: skip
        return sampled(in_photo, nodes), (across.unsqueeze(1) & down.unsqueeze(2)).unsqueeze(1)

    def _laid_on(self, picture: Tensor, paint: Tensor, to_patch: Tensor) -> Tensor:
        """The picture ``[B, 3, H, W]`` with a layer ``[B, 4, S, S]`` over it, in whole levels."""
        per_column, per_row, offset = to_patch[:, :, None, None].unbind(4)
        places = torch.addcmul(per_row * self.rows.view(-1, 1) + offset, per_column, self.columns)
        laid = sampled_paint(paint, places)
        return (picture * (1.0 - laid[:, 3:]) + laid[:, :3]).round().clamp(0.0, 255.0)

    def _before(self, picture: Tensor, held: Held, shown: Tensor, inside: Tensor) -> Tensor:
        """The person before what shall be seen behind, as ``Cutout.lay`` does."""
        if self._shape.behind == "photo":
            return picture
        still = held["share"].float()
        share = torch.where(inside, sampled(still, shown).round(), still)
        if self._shape.behind == "nothing":
            return torch.cat([picture, share], 1)
        return torch.lerp(held["behind"].float(), picture, share / 255.0).round()
