"""A discriminator on what VGG16 sees (Projected GANs, Sauer et al. 2021, arXiv 2111.01007).

A network that judges pixels must first learn to see, which takes hundreds of thousands of pictures.
One that judges the features of a network that sees already tells painted from true after thousands,
and the perceptual loss has computed them anyway. As in Zakharov et al., equation 5, the person has
a say by projection (Miyato & Koyama 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from avatar.generator.networks import SLOPE, conv


class Discriminator(nn.Module):
    """Realism of a picture, given the wanted outlines and the person.

    Each level of features has a small network of its own, which answers with a map of local scores;
    to those of the coarsest the projection of what it saw onto the person's vector W_i is added.

    Args:
        levels: channels of the features, from fine to coarse.
        outlines: number of outline maps.
        people: how many there are.
        style: length of W_i.
        width: channels of the small networks.
    """

    def __init__(
        self, levels: Sequence[int], outlines: int, people: int, style: int, width: int = 64
    ) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            spectral_norm(conv(level + outlines, width, kernel=1)) for level in levels
        )
        self.second = nn.ModuleList(spectral_norm(conv(width, width)) for _ in levels)
        self.local = nn.ModuleList(conv(width, 1) for _ in levels)
        self.project = nn.Linear(width, style)
        self.people = nn.Embedding(people, style)
        self.common = nn.Parameter(torch.zeros(style))
        nn.init.normal_(self.people.weight, std=0.02)

    def forward(
        self,
        seen: Sequence[Tensor],  # [B, C, h, w] each, from fine to coarse
        outlines: Tensor,  # [B, outlines, H, W]
        person: Tensor,  # [B] int64
    ) -> tuple[list[Tensor], list[Tensor]]:  # scores [B, 1, h, w] and features to match, by level
        scores, features = [], []
        for level, first, second, local in zip(
            seen, self.first, self.second, self.local, strict=True
        ):
            wanted = functional.interpolate(outlines, level.shape[-2:], mode="bilinear")
            x = torch.cat([_normalised(level), wanted], 1)
            x = functional.leaky_relu(first(x), SLOPE)
            x = functional.leaky_relu(second(x), SLOPE)
            scores.append(local(x))
            features.append(x)
        projection = self.project(features[-1].mean((2, 3)))
        projection = (projection * (self.people(person) + self.common)).sum(1)
        scores[-1] = scores[-1] + projection.view(-1, 1, 1, 1)
        return scores, features


def _normalised(level: Tensor) -> Tensor:  # [B, C, h, w]
    """With a root mean square of 1 in each place: bright and dark places count alike."""
    return level * torch.rsqrt(level.square().mean(1, keepdim=True) + 1e-6)


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """0 where all is told apart by a margin, 2 where nothing is."""
    losses = [
        functional.relu(1.0 - true).mean() + functional.relu(1.0 + made).mean()
        for true, made in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """The lower, the more is taken for true."""
    return -torch.stack([made.mean() for made in fake]).mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    return torch.stack(
        [functional.l1_loss(f, r.detach()) for f, r in zip(fake, real, strict=True)]
    ).mean()
