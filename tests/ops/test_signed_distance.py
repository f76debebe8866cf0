"""signed_distance equals its specification."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import signed_distance
from avatar.ops._signed_distance import _forward, signed_distance_reference


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 3),
    corners=st.integers(1, 64),
    size=st.integers(1, 70),
    seed=st.integers(0, 10_000),
)
def test_the_result_is_that_of_the_float64_reference(
    batch: int, corners: int, size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    polygon = torch.rand(batch, corners, 2, generator=generator) * 3 - 1.5
    found = signed_distance(polygon, size)
    right = signed_distance_reference(polygon.double(), size)
    torch.testing.assert_close(found.double(), right, rtol=0, atol=1e-5)


def test_no_pixels_are_no_error() -> None:
    assert signed_distance(torch.zeros(2, 3, 2), 0).shape == (2, 0, 0)


def test_a_square_is_positive_inside_and_grows_to_its_middle() -> None:
    square = torch.tensor([[[-0.2, -0.2], [0.2, -0.2], [0.2, 0.2], [-0.2, 0.2]]])
    found = signed_distance(square, 21)[0]
    assert float(found[10, 10]) == pytest.approx(0.8)
    assert float(found[0, 0]) == -1.0


def test_closed_lips_have_no_inside() -> None:
    line = torch.tensor([[[-0.5, 0.1], [0.0, 0.1], [0.5, 0.1], [0.0, 0.1]]])
    assert float(signed_distance(line, 64).max()) <= 0


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    polygon = torch.rand(2, 20, 2) * 2 - 1
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = signed_distance(polygon, 96)
        torch.set_num_threads(2)
        assert torch.equal(alone, signed_distance(polygon, 96))
    finally:
        torch.set_num_threads(threads)


def test_the_operator_keeps_the_rules_of_torch() -> None:
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_forward, (torch.rand(2, 5, 2), 17), test_utils=tests)


@pytest.mark.parametrize("shape", [(4, 2), (1, 4, 3), (1, 0, 2), (1, 65, 2)])
def test_what_is_no_polygon_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="polygon must be"):
        signed_distance(torch.zeros(shape), 8)
