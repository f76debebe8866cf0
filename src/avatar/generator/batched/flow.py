"""``landmark_flow_over_grid`` for a batch, each person with nodes of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avatar.generator.warping import FLOW_POINTS, Scale, steps


class Chosen(nn.Module):
    """Some of a batch's points. Their numbers lie on the device: a list would be sent each time."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("_numbers", torch.tensor(numbers), persistent=False)

    def forward(self, points: Tensor) -> Tensor:  # [B, all, n] -> [B, chosen, n]
        numbers = self._numbers
        assert isinstance(numbers, Tensor)
        return points.index_select(1, numbers)


class Flow(nn.Module):
    """The dense flow between two states of a face."""

    def __init__(self) -> None:
        super().__init__()
        self._chosen = Chosen(FLOW_POINTS)

    def forward(
        self,
        x: Tensor,  # [B, columns] of the target
        y: Tensor,  # [B, rows]
        target: Tensor,  # [B, 478, 2] landmarks where they shall be
        source: Tensor,  # [B, 478, 2] landmarks where they are in the photo
        unit: Tensor,  # [B] inter-ocular distance, in the unit of all these
        around: tuple[Tensor, Tensor] | None = None,  # [B, n, 2] each
    ) -> Tensor:  # [B, 2, rows, columns]
        """What to add to each node to find the place in the photo that is shown there."""
        near, there = self._chosen(target), self._chosen(source)
        scale = unit.view(-1, 1)
        x, y = x / scale, y / scale
        found = [
            _over_grid(x, y, step.points, step.values, step.scale, step.weights)
            for step in steps(target, source, near, there, unit, around)
        ]
        return torch.stack(found).sum(0) * scale[..., None, None]


def _over_grid(
    x: Tensor,  # [B, columns]
    y: Tensor,  # [B, rows]
    points: Tensor,  # [B, K, 2]
    values: Tensor,  # [B, K, 2]
    scale: Scale,
    weights: Tensor | None,  # [B, K]
) -> Tensor:  # [B, 2, rows, columns]
    """``spread_over_grid``, as one matrix product: the Gaussian is one of x times one of y."""
    narrow = -0.5 / scale.sigma**2
    across = torch.exp((x.unsqueeze(1) - points[..., :1]).square() * narrow)
    down = torch.exp((y.unsqueeze(1) - points[..., 1:]).square() * narrow)
    if weights is not None:
        down = down * weights.unsqueeze(2)
    # Rows of the two sums of values, then rows of the sum of weights.
    factors = torch.cat([values, torch.ones_like(values[..., :1])], 2)
    rows = (down.unsqueeze(2) * factors.unsqueeze(3)).flatten(2)
    sums = torch.bmm(rows.transpose(1, 2), across).view(len(x), 3, y.shape[1], x.shape[1])
    found: Tensor = sums[:, :2] / (sums[:, 2:] + scale.floor)
    return found
