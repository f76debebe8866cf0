"""A decoder's answer at full size, faded out beyond a border."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import faded_shuffle
from avatar.ops._faded_shuffle import _forward, faded_shuffle_reference


def told(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    answer = torch.randn(12, height, width, generator=generator)
    return answer, (3.0 * torch.rand(height, width, generator=generator) - 1.7).clamp(-1.0, 1.0)


@settings(deadline=None)
@given(
    height=st.integers(0, 9), width=st.integers(0, 40), wide=st.booleans(), seed=st.integers(0, 9)
)
def test_it_equals_its_reference(height: int, width: int, wide: bool, seed: int) -> None:
    answer, border = told(height, width, seed)
    if wide:  # as a chain gives it: pixel by pixel, with something behind
        behind = torch.full((height, width, 4), torch.nan)
        answer = torch.cat([answer.permute(1, 2, 0), behind], 2).permute(2, 0, 1)[:12]
    found = faded_shuffle(answer, border)
    assert found.shape == (3, 2 * height, 2 * width)
    if answer.numel():
        right = faded_shuffle_reference(answer, border)
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def test_all_is_left_inside_the_border_and_nothing_far_outside() -> None:
    answer, _ = told(4, 4)
    whole = faded_shuffle(answer, torch.full((4, 4), 0.5))
    assert torch.equal(whole, torch.nn.functional.pixel_shuffle(answer, 2))
    assert not faded_shuffle(answer, torch.full((4, 4), -1.0)).any()


def test_what_is_not_a_number_stays_so() -> None:
    answer, _ = told(4, 6)
    answer[5, 2, 3] = torch.nan
    found = faded_shuffle(answer, torch.ones(4, 6))
    assert int(found.isnan().sum()) == 1
    assert found[1, 4, 7].isnan()


def test_the_operation_keeps_the_rules_of_torch() -> None:
    torch.library.opcheck(_forward, told(3, 5))


def test_wrong_input_is_refused_with_its_shape() -> None:
    answer, border = told(4, 4)
    with pytest.raises(InputError, match=r"answer must be \[12, 4, 4\].*got \[11, 4, 4\]"):
        faded_shuffle(answer[:11], border)
    with pytest.raises(InputError, match=r"border must be \[4, 4\] float32.*got .*float64"):
        faded_shuffle(answer, border.double())
