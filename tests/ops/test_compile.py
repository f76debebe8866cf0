"""The shipped decoders compile and export whole, each native operation as a single node."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from avatar.generator.networks import AdaConv, Decoder, PartConfig
from avatar.weights import load_weights

SIZE = 32

Part = tuple[Decoder, tuple[Tensor, ...]]


@pytest.fixture(scope="module", params=["mouth", "eye"])
def part(request: pytest.FixtureRequest) -> Part:
    """A decoder with its weights, and what it may be told, at a small size."""
    tensors, description = load_weights("generator")
    sizes: Any = description["parts"]
    config = PartConfig(**sizes[request.param])
    prefix = f"{request.param}.decoder."
    decoder = Decoder(config)
    own = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    decoder.load_state_dict(own, strict=True)
    shapes = (
        (1, 3, SIZE, SIZE), (1, config.outlines, SIZE // 2, SIZE // 2), (1, config.numbers),
        (1, config.style), (1, config.features, SIZE // 4, SIZE // 4),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    told = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    return decoder.eval().requires_grad_(False), told


def test_it_compiles_without_a_break(part: Part) -> None:
    decoder, told = part
    compiled = torch.compile(decoder, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(*told), decoder(*told), rtol=1e-4, atol=1e-4)


def test_it_exports_with_each_operation_as_one_node(part: Part) -> None:
    decoder, told = part
    exported = torch.export.export(decoder, told)
    targets = [node.target for node in exported.graph.nodes]
    layers = sum(isinstance(module, AdaConv) for module in decoder.modules())
    assert targets.count(torch.ops.avatar.adain.default) == layers
    assert not any("norm" in str(target) for target in targets)
    torch.testing.assert_close(exported.module()(*told), decoder(*told), rtol=1e-4, atol=1e-4)
