"""spread_over_grid equals its specification, and spread at the same places."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import spread, spread_over_grid
from avatar.ops._spread_over_grid import _forward, spread_over_grid_reference


@pytest.fixture(autouse=True)
def _restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@settings(max_examples=100, deadline=None)
@given(
    columns=st.integers(0, 40),
    rows=st.integers(0, 40),
    count=st.integers(0, 60),
    sigma=st.sampled_from([0.05, 0.3, 4.0]),
    floor=st.sampled_from([0.01, 0.5]),
    weighted=st.booleans(),
    strided=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 10_000),
)
def test_the_result_is_that_of_the_float64_reference(
    columns: int, rows: int, count: int, sigma: float, floor: float,
    weighted: bool, strided: bool, threads: int, seed: int,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(n, 2, generator=generator)[:, 0] * 3 for n in (columns, rows))
    points, values = (torch.rand(2, count, generator=generator).T * 3 for _ in range(2))
    weights = torch.rand(count, generator=generator) if weighted else None
    if not strided:
        x, y, points, values = (tensor.contiguous() for tensor in (x, y, points, values))
    torch.set_num_threads(threads)
    found = spread_over_grid(x, y, points, values, sigma=sigma, floor=floor, weights=weights)
    wide = (t if t is None else t.double() for t in (x, y, points, values, weights))
    right = spread_over_grid_reference(*wide, sigma, floor)  # type: ignore[arg-type]
    assert found.is_contiguous()
    # A place among points 60 sigma away is a difference of squares of that size.
    torch.testing.assert_close(found.double(), right, rtol=5e-5, atol=5e-6)


def test_it_is_spread_at_the_nodes() -> None:
    x, y = torch.linspace(0, 3, 7), torch.linspace(0, 2, 5)
    points, values, weights = torch.rand(30, 2) * 3, torch.rand(30, 2), torch.rand(30)
    nodes = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(1, -1, 2)
    at_nodes = spread(
        nodes, points[None], values[None], sigma=0.4, floor=0.1, weights=weights[None]
    )
    found = spread_over_grid(x, y, points, values, sigma=0.4, floor=0.1, weights=weights)
    torch.testing.assert_close(found, at_nodes[0].T.reshape(2, 5, 7), rtol=2e-5, atol=2e-6)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    line, points, values = torch.rand(65), torch.rand(220, 2), torch.rand(220, 2)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(spread_over_grid(line, line, points, values, sigma=0.1, floor=0.1))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_far_from_all_points_nothing_moves() -> None:
    far, points = torch.full((5,), 1e6), torch.rand(9, 2)
    found = spread_over_grid(far, far, points, points, sigma=1.0, floor=0.1)
    assert float(found.abs().max()) < 1e-30


@pytest.mark.parametrize("lost", ["points", "values"])
def test_what_is_no_number_is_seen_everywhere(lost: str) -> None:
    x, y = torch.linspace(0, 3, 20), torch.linspace(0, 9, 60)
    given = {"points": torch.rand(30, 2), "values": torch.rand(30, 2)}
    given[lost][7] = float("nan")
    assert spread_over_grid(x, y, **given, sigma=0.1, floor=0.1).isnan().all()


def test_nan_stays_where_it_is() -> None:
    x, y, points, values = torch.rand(20), torch.rand(19), torch.rand(9, 2), torch.rand(9, 2)
    x[3], y[5] = torch.nan, torch.nan
    lost = spread_over_grid(x, y, points, values, sigma=0.5, floor=0.1).isnan()
    assert bool(lost[:, :, 3].all())
    assert bool(lost[:, 5].all())
    assert int(lost.sum()) == 2 * (20 + 19 - 1)
    values[4, 1] = torch.nan
    lost = spread_over_grid(torch.rand(6), torch.rand(5), points, values, sigma=0.5, floor=0.1)
    assert bool(lost[1].isnan().all())
    assert not bool(lost[0].isnan().any())


def test_the_operator_keeps_the_rules_of_torch() -> None:
    tensors = (torch.rand(7), torch.rand(5), torch.rand(2, 9).T, torch.rand(9, 2))
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for weights in (None, torch.rand(9)):
        torch.library.opcheck(_forward, (*tensors, weights, 0.5, 0.1), test_utils=tests)


def test_it_is_traced_as_one_operation() -> None:
    def flow(x: Tensor, y: Tensor, points: Tensor, values: Tensor) -> Tensor:
        return spread_over_grid(x / 2, y / 2, points, values, sigma=0.4, floor=0.1).sum(0)

    tensors = torch.rand(7), torch.rand(5), torch.rand(9, 2), torch.rand(9, 2)
    compiled = torch.compile(flow, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*tensors), flow(*tensors))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x", torch.zeros(4, 2)),
        ("y", torch.zeros(5).double()),
        ("points", torch.zeros(6, 3)),
        ("points", torch.zeros(())),
        ("values", torch.zeros(5, 2)),
        ("weights", torch.zeros(5)),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, wrong: Tensor) -> None:
    tensors = {
        "x": torch.zeros(4), "y": torch.zeros(5), "points": torch.zeros(6, 2),
        "values": torch.zeros(6, 2), "weights": torch.zeros(6), name: wrong,
    }  # fmt: skip
    blamed = "values" if wrong.dim() == 0 else name
    with pytest.raises(InputError, match=f"{blamed} must be|points must be"):
        spread_over_grid(**tensors, sigma=1.0, floor=0.1)


@pytest.mark.parametrize(("sigma", "floor"), [(0.0, 0.1), (float("nan"), 0.1), (1.0, 0.0)])
def test_widths_that_mean_nothing_are_refused(sigma: float, floor: float) -> None:
    line, points = torch.zeros(3), torch.zeros(2, 2)
    with pytest.raises(InputError, match="sigma and floor positive"):
        spread_over_grid(line, line, points, points, sigma=sigma, floor=floor)
