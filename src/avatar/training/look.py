"""How a generator in training does on people it does not learn from, in figures and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.generator.episodes import cut, paint
from avatar.generator.networks import PartGenerator
from avatar.generator.parts import Part
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import FaceClips
from avatar.training.perceptual import PerceptualFeatures


@torch.no_grad()
def evaluate(
    model: PartGenerator,
    clips: FaceClips,
    part: Part,
    lpips: PerceptualFeatures,
    per_clip: int = 12,
) -> tuple[dict[str, float], Tensor]:
    """LPIPS (AlexNet) of painted and of bare warped patches on the far third of each clip, from the
    near third.

    Returns the figures and a sheet ``[rows, 4, 3, S, S]``: source, warped, painted, true.
    """
    sampler = EpisodeSampler(clips, part)
    painted_sum, warped_sum, sheet, ratios = 0.0, 0.0, [], {}
    for clip, order in enumerate(sampler.order):
        n = len(order)
        mouth = part.name == "mouth"
        far = order[2 * n // 3 :] if mouth else order[: n // 3]
        near = order[: max(1, n // 10)] if mouth else order[-max(1, n // 10) :]
        targets = far[np.linspace(0, len(far) - 1, per_clip).astype(int)]
        sources = near[np.arange(per_clip) % len(near)][:, None]
        person = torch.zeros(per_clip, dtype=torch.int64)
        episode = cut(clips, part, targets, sources, person)
        painted = paint(model, episode)[0].clamp(-1, 1)
        a, b = (
            lpips.lpips(painted, episode.target).mean(),
            lpips.lpips(episode.warped, episode.target).mean(),
        )
        painted_sum, warped_sum = painted_sum + float(a), warped_sum + float(b)
        ratios[clips.names[clip]] = round(float(a / b), 3)
        for k in (per_clip // 2, per_clip - 1):
            sheet.append(
                torch.stack(
                    [episode.source_patches[k, 0], episode.warped[k], painted[k], episode.target[k]]
                )
            )
    figures = {"lpips_painted": painted_sum / len(ratios), "lpips_warped": warped_sum / len(ratios)}
    return {**figures, "ratio": painted_sum / warped_sum, **ratios}, torch.stack(sheet)


def save_sheet(sheet: Tensor, path: Path, columns: int = 3) -> None:
    """Write rows of patches as one picture."""
    from PIL import Image

    rows = [torch.cat(list(row), 2) for row in sheet.clamp(-1, 1).float().cpu()]
    while len(rows) % columns:
        rows.append(torch.zeros_like(rows[0]))
    picture = torch.cat(
        [torch.cat(rows[k : k + columns], 2) for k in range(0, len(rows), columns)], 1
    )
    pixels = ((picture + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(path)
