"""spread equals its specification."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import spread
from avatar.ops._spread import _forward, spread_reference


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 3),
    places=st.integers(0, 70),
    count=st.integers(1, 50),
    sigma=st.sampled_from([0.05, 0.3, 4.0]),
    floor=st.sampled_from([0.01, 0.5]),
    weighted=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_the_result_is_that_of_the_float64_reference(
    batch: int, places: int, count: int, sigma: float, floor: float, weighted: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    at = torch.rand(batch, 2, places, generator=generator).transpose(1, 2) * 3
    points, values = (torch.rand(batch, count, 2, generator=generator) * 3 for _ in range(2))
    weights = torch.rand(batch, count, generator=generator) if weighted else None
    found = spread(at, points, values, sigma=sigma, floor=floor, weights=weights)
    wide = (t if t is None else t.double() for t in (at, points, values, weights))
    right = spread_reference(*wide, sigma, floor)  # type: ignore[arg-type]
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), right, rtol=2e-5, atol=2e-6)


def test_far_from_all_points_nothing_moves() -> None:
    far = spread(
        torch.full((1, 5, 2), 1e6), torch.rand(1, 9, 2), torch.rand(1, 9, 2), sigma=1.0, floor=0.1
    )
    assert float(far.abs().max()) < 1e-30


def test_equal_values_stay_equal() -> None:
    values = torch.tensor([2.0, -1.0]).expand(1, 9, 2)
    found = spread(torch.rand(1, 40, 2), torch.rand(1, 9, 2), values, sigma=0.5)
    torch.testing.assert_close(found, values[:, :1].expand_as(found))


def test_nan_stays_where_it_is() -> None:
    at = torch.rand(1, 20, 2)
    at[0, 3, 1] = torch.nan
    found = spread(at, torch.rand(1, 9, 2), torch.rand(1, 9, 2), sigma=0.5, floor=0.1)
    assert found.isnan().any(-1).nonzero().tolist() == [[0, 3]]


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    given = [torch.rand(1, n, 2) for n in (900, 200, 200)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = spread(*given, sigma=0.1, floor=0.1)
        torch.set_num_threads(2)
        assert torch.equal(alone, spread(*given, sigma=0.1, floor=0.1))
    finally:
        torch.set_num_threads(threads)


def test_the_gradient_is_right() -> None:
    inputs = [torch.rand(1, n, 2, dtype=torch.double).requires_grad_() for n in (4, 3, 3)]
    inputs.append(torch.rand(1, 3, dtype=torch.double).requires_grad_())
    assert torch.autograd.gradcheck(
        lambda at, points, values, weights: spread(
            at, points, values, weights=weights, sigma=0.4, floor=0.1
        ),
        inputs,
    )


def test_the_operator_keeps_the_rules_of_torch() -> None:
    tensors = (torch.rand(2, 2, 5).mT, torch.rand(2, 7, 2), torch.rand(2, 7, 2))
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for weights in (None, torch.rand(2, 7)):
        torch.library.opcheck(_forward, (*tensors, weights, 0.5, 0.1), test_utils=tests)


@pytest.mark.parametrize(
    ("at", "points", "values", "sigma", "message"),
    [
        (torch.zeros(4, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), 1.0, "at must be"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 3, 3), torch.zeros(1, 3, 2), 1.0, "points must be"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 3, 2), torch.zeros(1, 2, 2), 1.0, "values must be"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), 0.0, "sigma must be"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    at: Tensor, points: Tensor, values: Tensor, sigma: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        spread(at, points, values, sigma=sigma)
