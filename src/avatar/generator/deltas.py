"""What one person adds to the shipped decoders: low-rank changes, small enough to travel in a file.

The change of a weight ``[out, in, k, k]`` is ``up @ down`` with ``up`` ``[out, rank]`` and ``down``
``[rank, in * k * k]`` (Hu et al. 2021, arXiv 2106.09685, eq. 3). It is added to the weight once,
when a person is prepared, so a frame costs what it costs for everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avatar.errors import WeightsError

_UP, _DOWN, _SHIFT = ".up", ".down", ".shift"


@dataclass(frozen=True, eq=False)
class Deltas:
    """Changes of the decoders of one person.

    Attributes:
        tensors: float16, named ``<part>.<layer>.weight.up`` and ``….down``,
            ``<part>.<layer>.bias.shift``, and ``<part>.style.shift`` for the style vector.
        weights_sha256: of the generator's weights that they were learnt on; on others they mean
            nothing.
        pictures: how many they were learnt from. steps: how long.
        score_before, score_after: of the picture that was held out, lower is better.
    """

    tensors: Mapping[str, Tensor]
    weights_sha256: str
    pictures: int = 0
    steps: int = 0
    score_before: float = 0.0
    score_after: float = 0.0

    @property
    def parts(self) -> set[str]:
        """The parts that are changed."""
        return {name.partition(".")[0] for name in self.tensors}

    def own(self, part: str) -> dict[str, Tensor]:
        """The tensors of one part, named without it."""
        prefix = f"{part}."
        return {
            name.removeprefix(prefix): value.float()
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }

    def style(self, part: str, style: Tensor) -> Tensor:  # [1, style]
        """The person's style vector of a part, changed."""
        shift = self.own(part).get(f"style{_SHIFT}")
        return style if shift is None else style + shift.to(style.device)

    def merged(self, part: str, decoder: nn.Module) -> nn.Module:
        """A copy of ``decoder`` with the changes in its weights.

        Raises:
            WeightsError: they do not fit it.
        """
        copy = deepcopy(decoder)
        weights = dict(copy.named_parameters())
        for name, value in self.own(part).items():
            try:
                with torch.no_grad():
                    _add(weights, name, value, self.own(part))
            except (KeyError, RuntimeError) as error:
                raise WeightsError(f"deltas of {part}: {name} does not fit: {error}") from error
        return copy


def _add(
    weights: Mapping[str, Tensor], name: str, value: Tensor, tensors: Mapping[str, Tensor]
) -> None:
    if name.endswith(_UP):
        weight = weights[name.removesuffix(_UP)]
        change = value @ tensors[name.removesuffix(_UP) + _DOWN]
        weight.add_(change.view(weight.shape).to(weight.device, weight.dtype))
    elif name.endswith(_SHIFT) and name != f"style{_SHIFT}":
        weight = weights[name.removesuffix(_SHIFT)]
        weight.add_(value.to(weight.device, weight.dtype))
