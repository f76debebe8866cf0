"""``Look`` for a batch: what paint must keep to, each person's own, without a branch."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.generator.batched.people import Held
from avatar.generator.look import APART, BLUE, GREEN, MOST_DETAIL, RED


def keep(
    warped: Tensor,  # [B, parts, 3, S, S]
    residual: Tensor,  # [B, parts, 3, S, S]
    held: Held,
) -> Tensor:  # [B, parts, 3, S, S]
    """``Look.keep``."""
    brought = _luma(residual)
    luma = _luma(warped) + brought
    excess = _beyond(luma, _of(held["tones"], 0), _of(held["tones"], 1), brought.abs())
    kept, brought, residual = luma - excess, brought - excess, residual - excess
    painted = warped + residual
    known = torch.clamp(kept, _of(held["known"], 0), _of(held["known"], 1))
    chromas = []
    for k, channel in enumerate((0, 2)):
        a, b, c = (_of(held["curve"][:, k], power) for power in range(3))
        curve = (known * c + b) * known + a
        chroma = painted[:, :, channel, None] - kept
        most = (residual[:, :, channel, None] - brought).abs() + brought.abs()
        reach = _of(held["reach"], k)
        chromas.append(chroma - _beyond(chroma - curve, -reach, reach, most))
    red, blue = chromas
    green = red * (-RED / GREEN) + blue * (-BLUE / GREEN)
    limited = kept + torch.cat([red, green, blue], 2) - warped
    of_one_material = _of(held["one_material"][:, None], 0) > 0.0
    grey = _of(held["grey"][:, None], 0) > 0.0
    return torch.where(grey, brought, torch.where(of_one_material, limited, residual))


def detail(
    painted: Tensor,  # [B, 3, S, S]
    corner: Tensor,  # [B, 2] int64, column and row of the patch where the grain begins
    held: Held,
) -> Tensor:  # [B, S, S]
    """``Look.detail`` of whole patches, with the grain where a cut from ``corner`` has it."""
    size = painted.shape[-1]
    luma = _luma(painted)[:, 0]
    rows = luma[:, APART:-APART]
    crisp = 2.0 * rows - luma[:, : -2 * APART] - luma[:, 2 * APART :]
    crisp = crisp * (held["crispness"] / 3.0).view(-1, 1, 1)
    line = torch.arange(size, device=painted.device)
    columns = (line - corner[:, :1]).clamp(0, size - 1)
    lines = (line[: -2 * APART] - corner[:, 1:]).clamp(0, size - 1)
    grain = held["grain"].gather(1, lines.unsqueeze(2).expand(-1, -1, size))
    grain = grain.gather(2, columns.unsqueeze(1).expand(-1, lines.shape[1], -1))
    crisp = crisp.clamp(-MOST_DETAIL, MOST_DETAIL) + (rows + 1.0).clamp(max=1.0) * grain
    return torch.nn.functional.pad(crisp, (0, 0, APART, APART))


def _of(values: Tensor, which: int) -> Tensor:  # [B, n] -> [B, 1, 1, 1, 1]
    """One of each person's numbers."""
    return values[:, which].view(-1, 1, 1, 1, 1)


def _luma(colours: Tensor) -> Tensor:  # [..., 3, S, S] -> [..., 1, S, S]
    red, green, blue = (colours[..., k : k + 1, :, :] for k in range(3))
    return red * RED + green * GREEN + blue * BLUE


def _beyond(value: Tensor, low: Tensor, high: Tensor, most: Tensor) -> Tensor:
    """By how much ``value`` leaves (low, high), either way at most ``most``."""
    return torch.clamp(value - torch.clamp(value, low, high), -most, most)
