"""A chain of convolutions in native code says what its torch specification says."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import Chain, Link, native_status

needs_kernels = pytest.mark.skipif(
    not native_status().built, reason="the native kernels are not built"
)


def link(outputs: int, inputs: int, source: int, **how: object) -> Link:
    weight = torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
    return Link(weight, source, bias=torch.randn(outputs), **how)  # type: ignore[arg-type]


def network(
    inputs: int, inner: int, side: tuple[int, int], dtype: torch.dtype, *, colours: int = 12
) -> Chain:
    """Every kind of link: with a stride, doubled, with a residual, into some channels of a map."""
    height, width = side
    torch.manual_seed(inputs * 97 + inner + height)
    half, whole = (inner, height // 2, width // 2), (inner, height, width)
    maps = [(inputs, *side), half, (inner + 18, *half[1:]), whole]
    links = [
        link(inner, inputs, 0, target=(1, 0), stride=2),
        link(inner, inner, 1, target=(2, 18)),
        link(inner, inner + 18, 2, target=(1, 0), residual=1),
        link(inner, inner, 1, target=(3, 0), double=True),
        link(inner, inner, 3, target=(3, 0), residual=3),
        link(colours, inner, 3),
    ]
    return Chain(maps, links, dtype=dtype, negative_slope=0.2)


def given_to(chain: Chain, inputs: int, side: tuple[int, int]) -> dict[tuple[int, int], Tensor]:
    height, width = side
    return {
        (0, 0): torch.randn(inputs, height, width),
        (2, 0): torch.randn(18, height // 2, width // 2),
    }


def assert_agrees(found: Tensor, right: Tensor, dtype: torch.dtype) -> None:
    """Within the rounding of ``dtype`` through six links."""
    assert found.shape == right.shape
    limit = 1e-4 if dtype is torch.float32 else 0.05
    assert (found - right).square().mean().sqrt() < limit * right.std()


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(1, 40), inner=st.integers(16, 70), rows=st.integers(2, 5),
    columns=st.integers(2, 16), dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)  # fmt: skip
# Fewer pixels can be equal but for rounding, which their variance then enlarges.
def test_a_chain_equals_its_reference(
    inputs: int, inner: int, rows: int, columns: int, dtype: torch.dtype
) -> None:
    side = (4 * rows, 4 * columns)
    chain = network(inputs, inner, side, dtype)
    told, styles = given_to(chain, inputs, side), 0.3 * torch.randn(chain.styles)
    assert_agrees(chain(told, styles), chain.reference(told, styles), dtype)


@pytest.fixture
def isas() -> Iterator[list[str]]:
    """Makes each build the chosen one in turn."""
    module = importlib.import_module("avatar._native")
    chosen = module.isa()

    def each() -> Iterator[str]:
        for isa in module.available_isas():
            module.use_isa(isa)
            yield isa

    yield each()  # type: ignore[misc]
    module.use_isa(chosen)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_build_agrees(isas: Iterator[str], dtype: torch.dtype) -> None:
    chain = network(15, 40, (24, 48), dtype)
    told, styles = given_to(chain, 15, (24, 48)), 0.3 * torch.randn(chain.styles)
    right = chain.reference(told, styles)
    for _ in isas:
        assert_agrees(chain(told, styles), right, dtype)


@needs_kernels
def test_a_run_leaves_nothing_behind_for_the_next() -> None:
    chain = network(3, 16, (8, 8), torch.float32)
    first, second = (given_to(chain, 3, (8, 8)) for _ in range(2))
    styles = torch.randn(chain.styles)
    alone = chain(first, styles)
    chain(second, styles)
    assert torch.equal(chain(first, styles), alone)


@needs_kernels
def test_many_threads_may_run_one_chain() -> None:
    chain = network(3, 32, (32, 32), torch.bfloat16)
    cases = [given_to(chain, 3, (32, 32)) for _ in range(8)]
    styles = torch.randn(chain.styles)
    alone = [chain(case, styles) for case in cases]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda k: chain(cases[k % 8], styles), range(64)))
    assert all(torch.equal(found, alone[k % 8]) for k, found in enumerate(together))


@needs_kernels
def test_a_large_common_offset_costs_no_precision() -> None:
    torch.manual_seed(0)
    weight = torch.zeros(16, 16, 3, 3)
    weight[range(16), range(16), 1, 1] = 1.0
    chain = Chain([(16, 32, 32), (16, 32, 32)], [Link(weight, 0, target=(1, 0)), Link(weight, 1)])
    x, styles = torch.randn(16, 32, 32), torch.zeros(32)
    near = chain({(0, 0): x}, styles)
    far = chain({(0, 0): x + 1000.0}, styles)
    assert (near - far)[:, 1:-1, 1:-1].abs().max() < 0.1 * near.std()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_picture_is_shown_to_the_first_map(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    chain = network(14, 16, (16, 24), dtype)
    picture = torch.randn(32, 48, 3).permute(2, 0, 1)
    outlines, carried = torch.randn(2, 16, 24), torch.randn(18, 8, 12)
    styles = torch.randn(chain.styles)
    halves = torch.nn.functional.pixel_unshuffle(picture, 2)
    rest = {(0, 12): outlines, (2, 0): carried}
    shown = chain(rest, styles, picture=picture)
    assert_agrees(shown, chain({(0, 0): halves, **rest}, styles), dtype)


def test_a_result_that_is_not_a_number_stays_so() -> None:
    chain = network(3, 16, (8, 8), torch.float32)
    told = given_to(chain, 3, (8, 8))
    told[0, 0][1, 2, 3] = torch.nan
    assert chain(told, torch.randn(chain.styles)).isnan().all()


def test_what_does_not_fit_is_refused() -> None:
    one = [(16, 8, 8), (16, 8, 8)]
    with pytest.raises(InputError, match="the last link, and only that"):
        Chain(one, [link(16, 16, 0, target=(1, 0))])
    with pytest.raises(InputError, match=r"link 0 gives 24 channels of \(8, 8\)"):
        Chain(one, [link(24, 16, 0, target=(1, 0)), link(3, 16, 1)])
    with pytest.raises(InputError, match=r"at most 16, 3, 3\] .* got \[16, 17, 3, 3\]"):
        Chain(one, [link(16, 17, 0, target=(1, 0)), link(3, 16, 1)])
    with pytest.raises(InputError, match="source of link 0 is 7 × 8, not even"):
        Chain([(16, 7, 8)], [link(3, 16, 0)])
    with pytest.raises(InputError, match="dtype must be float32 or bfloat16"):
        Chain(one, [link(3, 16, 0)], dtype=torch.float16)
    chain = Chain(one, [link(16, 16, 0, target=(1, 0)), link(3, 16, 1)])
    with pytest.raises(InputError, match=r"styles must be \[32\] float32, got \[31\]"):
        chain({(0, 0): torch.zeros(16, 8, 8)}, torch.zeros(31))
    with pytest.raises(InputError, match=r"map 0 takes.* \[16, 8, 8\] or fewer, got \[17, 8, 8\]"):
        chain({(0, 0): torch.zeros(17, 8, 8)}, torch.zeros(32))
    with pytest.raises(InputError, match=r"picture must be \[3, 16, 16\] float32"):
        chain({}, torch.zeros(32), picture=torch.zeros(3, 16, 15))
