"""A layer for compose from what a decoder says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import paint
from avatar.ops._paint import _forward, paint_reference


def told(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def map_(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(height, width, generator=generator)).clamp(-1, 1)

    answer = torch.randn(12, height, width, generator=generator)
    patch = torch.randint(
        0, 256, (3, 2 * height, 2 * width), dtype=torch.uint8, generator=generator
    )
    return answer, map_(-1.5, 1.0), patch, map_(-1.0, 0.5)


@settings(deadline=None)
@given(
    height=st.integers(1, 9), width=st.integers(1, 40), opening=st.booleans(),
    share=st.floats(0, 1), wide=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_paint_equals_its_reference(
    height: int, width: int, opening: bool, share: float, wide: bool, seed: int
) -> None:
    answer, border, patch, inside = told(height, width, seed)
    if wide:  # as the decoders give it: pixel by pixel, with something behind
        behind = torch.full((height, width, 4), torch.nan)
        answer = torch.cat([answer.permute(1, 2, 0), behind], 2).permute(2, 0, 1)[:12]
    inner = inside if opening else None
    found = paint(answer, border, patch, inner, share=share)
    right = paint_reference(answer, border, patch, inner, share)
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-3)


def test_outside_the_border_there_is_no_paint() -> None:
    answer, _, patch, _ = told(4, 4)
    found = paint(answer, torch.full((4, 4), -1.0), patch, torch.full((4, 4), -1.0))
    assert not found.any()


def test_inside_the_opening_only_patch_and_residual_are_shown() -> None:
    answer, _, patch, _ = told(4, 4)
    everywhere = torch.ones(4, 4)
    found = paint(torch.zeros_like(answer), everywhere, patch, everywhere)
    assert torch.equal(found[3], torch.ones(8, 8))
    assert torch.equal(found[:3], patch.float())


def test_a_residual_that_is_not_a_number_stays_so() -> None:
    answer, _, patch, opening = told(4, 6)
    answer[5, 2, 3] = torch.nan
    found = paint(answer, torch.ones(4, 6), patch, opening)
    assert int(found.isnan().sum()) == 1
    assert found[1, 4, 7].isnan()


def test_the_operation_keeps_the_rules_of_torch() -> None:
    torch.library.opcheck(_forward, (*told(3, 5), 0.5))
    answer, border, patch, _ = told(3, 5)
    torch.library.opcheck(_forward, (answer, border, patch, None, 1.0))


def test_wrong_input_is_refused_with_its_shape() -> None:
    answer, border, patch, opening = told(4, 4)
    with pytest.raises(InputError, match=r"answer must be \[12, 4, 4\].*got \[11, 4, 4\]"):
        paint(answer[:11], border, patch)
    with pytest.raises(InputError, match=r"patch must be .*uint8.* got .*float32"):
        paint(answer, border, patch.float())
    with pytest.raises(InputError, match=r"opening must be \[4, 4\]"):
        paint(answer, border, patch, opening[:3])
