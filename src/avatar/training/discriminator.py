"""Projection discriminator of one face part (Miyato & Koyama 2018, as used by Zakharov et al., eq.
5).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from avatar.generator.networks import SLOPE, conv


class Discriminator(nn.Module):
    """Realism of a patch given the wanted outlines and the person.

    The score is a map of local scores plus the projection of the pooled features onto the person's
    vector W_i.
    """

    def __init__(self, outlines: int, people: int, style: int, width: int = 48) -> None:
        super().__init__()
        widths = [12 + outlines, width, 2 * width, 4 * width, 6 * width]
        self.layers = nn.ModuleList(
            spectral_norm(conv(a, b, 1 if k == 0 else 2, 3 if k == 0 else 5))
            for k, (a, b) in enumerate(pairwise(widths))
        )
        self.local = conv(widths[-1], 1)
        self.project = nn.Linear(widths[-1], style)
        self.people = nn.Embedding(people, style)
        self.common = nn.Parameter(torch.zeros(style))
        nn.init.normal_(self.people.weight, std=0.02)

    def forward(
        self,
        patch: Tensor,  # [B, 3, S, S] in [-1, 1]
        outlines: Tensor,  # [B, outlines, S/2, S/2]
        person: Tensor,  # [B] int64
    ) -> tuple[Tensor, list[Tensor]]:  # score [B, 1, h, w], features for matching
        x = torch.cat([functional.pixel_unshuffle(patch, 2), outlines], 1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        pooled = self.project(x.mean((2, 3)))
        projection = (pooled * (self.people(person) + self.common)).sum(1)
        score: Tensor = self.local(x) + projection.view(-1, 1, 1, 1)
        return score, features


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    return torch.stack(
        [functional.l1_loss(f, r.detach()) for f, r in zip(fake, real, strict=True)]
    ).mean()
