"""How a generator in training does on people it does not learn from, in figures and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.evaluation.plain_warp import plain_flow
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
    """LPIPS (AlexNet) of painted and of warped patches on the far third of each clip, from the near
    third; ``plain`` is the plain warp (``evaluation.plain_warp``), to which the ratios refer.

    Returns the figures and a sheet ``[rows, 4, 3, S, S]``: source, warped, painted, true.
    """
    sampler = EpisodeSampler(clips, part)
    sums, sheet, ratios = np.zeros(3), [], {}
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
        plain = cut(clips, part, targets, sources, person, flow=plain_flow).warped
        far_off = np.array([
            float(lpips.lpips(shown, episode.target).mean())
            for shown in (painted, episode.warped, plain)
        ])  # fmt: skip
        sums += far_off
        ratios[clips.names[clip]] = round(far_off[0] / far_off[2], 3)
        for k in (per_clip // 2, per_clip - 1):
            sheet.append(
                torch.stack(
                    [episode.source_patches[k, 0], episode.warped[k], painted[k], episode.target[k]]
                )
            )
    names = ("lpips_painted", "lpips_warped", "lpips_plain")
    figures = dict(zip(names, (sums / len(ratios)).tolist(), strict=True))
    figures["ratio"], figures["ratio_to_warped"] = sums[0] / sums[2], sums[0] / sums[1]
    return {**figures, **ratios}, torch.stack(sheet)


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
