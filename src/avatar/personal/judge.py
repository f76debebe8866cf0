"""Who judges a person's mouth: a projection discriminator that begins as the shipped embedder.

In Zakharov et al. 2019 the discriminator of the meta-learning is fine-tuned with the generator, its
vector W_i of a new person initialised from the embedding (section 3.3, eq. 7). Here the layers
too begin as the embedder's, which ships anyway and knows mouths: its style of a patch, projected
onto the person's style, is the projection term from the first step on. The head of local scores
begins at zero.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.generator.networks import Embedder, conv


class Judge(nn.Module):
    """Realism of a patch of one person, given the wanted outlines.

    Args:
        embedder: what it begins as; stays as it is.
        style: ``[1, style]`` of the person, what W_i begins as.
    """

    def __init__(self, embedder: Embedder, style: Tensor) -> None:
        super().__init__()
        self.eyes = deepcopy(embedder).requires_grad_(True)
        self.local = conv(self.eyes.down3.out_channels, 1)
        self.person = nn.Parameter(functional.normalize(style.detach().clone(), dim=1))
        nn.init.zeros_(self.local.weight)
        nn.init.zeros_(self.local.bias)  # type: ignore[arg-type]

    def forward(
        self,
        patch: Tensor,  # [B, 3, S, S] in [-1, 1]
        outlines: Tensor,  # [B, outlines, S/2, S/2]
    ) -> tuple[Tensor, list[Tensor]]:  # score [B, 1, h, w], features for matching
        features = self.eyes.trunk(patch, outlines)
        own = functional.normalize(self.eyes.style(features[-1]).float(), dim=1)
        projection = (own * self.person).sum(1)
        score: Tensor = self.local(features[-1]) + projection.view(-1, 1, 1, 1)
        return score, features


def hinge_judge(real: Tensor, fake: Tensor) -> Tensor:
    """The judge's loss (Zakharov et al., eq. 6)."""
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean distance of what the judge sees in two pictures."""
    return torch.stack(
        [functional.l1_loss(f, r.detach()) for f, r in zip(fake, real, strict=True)]
    ).mean()
