"""warp equals its specification, whatever the layout, type, size or number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import warp
from avatar.ops._warp import _backward, _forward, warp_reference

DTYPES = (torch.float32, torch.bfloat16, torch.uint8)
LAYOUTS = ("channels_last", "contiguous", "channels sliced", "window")


@pytest.fixture(autouse=True)
def _restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def laid(image: Tensor, layout: str) -> Tensor:
    """The same values in another memory layout."""
    last = image.contiguous(memory_format=torch.channels_last)
    match layout:
        case "channels_last":
            return last
        case "channels sliced":
            doubled = torch.cat([last, last], 1).contiguous(memory_format=torch.channels_last)
            return doubled[:, image.shape[1] :]
        case "window":
            tall = torch.cat([last, last], 2).contiguous(memory_format=torch.channels_last)
            return torch.cat([tall, tall], 3)[:, :, image.shape[2] :, image.shape[3] :]
        case _:
            return image.contiguous()


def image_of(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=generator)
    return torch.randn(shape, generator=generator).to(dtype)


def plain_grid(height: int, width: int) -> Tensor:
    """Every pixel of the output at the pixel of the same number."""
    across, down = torch.arange(width).float(), torch.arange(height).float()
    return torch.stack(torch.meshgrid(across, down, indexing="xy"))[None]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    sizes = st.sampled_from([1, 2, 3, 7, 16, 30])
    return {
        "shape": (
            draw(st.integers(0, 2)), draw(st.sampled_from([1, 2, 3, 4, 5, 16, 17, 40])),
            draw(sizes), draw(sizes),
        ),
        "nodes": (
            draw(st.sampled_from([1, 2, 3, 17, 65])), draw(st.sampled_from([1, 2, 3, 17, 150])),
        ),
        "size": draw(
            st.none()
            | st.tuples(
                st.sampled_from([0, 1, 2, 13, 40]), st.sampled_from([0, 1, 2, 17, 65, 130])
            )
        ),
        "layout": draw(st.sampled_from(LAYOUTS)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "padding": draw(st.sampled_from(["border", "zeros"])),
        "reach": draw(st.sampled_from([0.0, 1.5, 1e7])),
        "threads": draw(st.sampled_from([1, 2])),
        "seed": draw(st.integers(0, 10_000)),
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_the_result_is_that_of_the_float64_reference(case: dict[str, object]) -> None:
    generator = torch.Generator().manual_seed(int(str(case["seed"])))
    shape, nodes, size, dtype = case["shape"], case["nodes"], case["size"], case["dtype"]
    assert isinstance(shape, tuple)
    assert isinstance(nodes, tuple)
    assert isinstance(size, tuple | None)
    assert isinstance(dtype, torch.dtype)
    padding, reach = str(case["padding"]), float(str(case["reach"]))
    image = laid(image_of(shape, dtype, generator), str(case["layout"]))
    extent = torch.tensor([shape[3] - 1.0, shape[2] - 1.0])[:, None, None]
    grid = torch.rand(shape[0], 2, *nodes, generator=generator) * (extent + 2 * reach) - reach
    torch.set_num_threads(int(str(case["threads"])))
    y = warp(image, grid, size, padding=padding)
    expected_size = nodes if size is None else size
    assert y.shape == (*shape[:2], *expected_size)
    assert y.dtype == dtype
    if not y.numel():
        return
    values = image.double()
    right = warp_reference(values, grid.double(), expected_size, padding)
    # In float32 a place among n nodes is good to n * 1e-7 of the way to the next node.
    steepest = 255.0 if dtype == torch.uint8 else 6.0
    way = 1e-5 + 2e-7 * max(nodes) * (max(shape[2:]) + 2 * reach)
    limit = steepest * min(way, 2.0)
    limit += {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.uint8: 0.501}[dtype]
    assert float((y.double() - right).abs().max()) <= limit


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4, 20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_motion_changes_no_bit(dtype: torch.dtype, channels: int, layout: str) -> None:
    generator = torch.Generator().manual_seed(1)
    image = laid(image_of((1, channels, 21, 37), dtype, generator), layout)
    assert torch.equal(warp(image, plain_grid(21, 37)), image)
    corners = plain_grid(21, 37)[:, :, [0, -1]][..., [0, -1]]
    if dtype != torch.float32:  # there, float32 positions between two nodes show
        assert torch.equal(warp(image, corners, (21, 37)), image)


def test_whole_pixels_move_exactly() -> None:
    image = torch.randint(0, 256, (1, 3, 12, 14), dtype=torch.uint8)
    moved = warp(image, plain_grid(12, 14) + torch.tensor([2.0, -3.0])[:, None, None])
    assert torch.equal(moved[..., 3:, :-2], image[..., :-3, 2:])


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_outside_is_the_border_or_zero(dtype: torch.dtype, layout: str) -> None:
    image = laid(torch.full((1, 3, 4, 5), 9).to(dtype), layout)
    far = torch.full((1, 2, 6, 6), 1e30)
    for grid in (far, -far, far * torch.inf, -far * torch.inf):
        assert bool((warp(image, grid) == 9).all())
        assert bool((warp(image, grid, padding="zeros") == 0).all())
    half = torch.tensor([-0.5, 1.0])[None, :, None, None]
    zeros = warp(image, half, padding="zeros")
    assert float(zeros.max()) == (4.0 if dtype == torch.uint8 else 4.5)


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_nan_goes_where_it_is_seen_and_nowhere_else(layout: str, channels: int) -> None:
    image = torch.ones(1, channels, 9, 9)
    image[0, 1, 0, 0] = torch.nan
    seen = warp(laid(image, layout), plain_grid(9, 9) + 0.25)
    assert int(seen.isnan().sum()) == 1
    beyond = warp(laid(image, layout), plain_grid(9, 9) - 50, padding="zeros")
    assert bool((beyond == 0).all())
    grid = plain_grid(9, 9)
    grid[0, 0, 2, 3] = torch.nan
    lost = warp(laid(torch.ones(1, channels, 9, 9), layout), grid)
    assert bool(lost[0, :, 2, 3].isnan().all())
    assert int(lost.isnan().sum()) == channels
    pixels = laid(torch.full((1, channels, 9, 9), 7, dtype=torch.uint8), layout)
    assert bool((warp(pixels, grid)[0, :, 2, 3] == 0).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    image = laid(image_of((1, 3, 40, 50), dtype, generator), "channels_last")
    grid = torch.rand(1, 2, 7, 9, generator=generator) * 60 - 5
    torch.set_num_threads(1)
    alone = warp(image, grid, (33, 71))
    torch.set_num_threads(2)
    assert torch.equal(alone, warp(image, grid, (33, 71)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_too_large_for_the_caches_is_the_same(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    image = laid(image_of((1, 64, 50, 60), dtype, generator), "channels_last")
    grid = torch.rand(1, 2, 7, 9, generator=generator) * 60 - 5
    size = (210, 207) if dtype == torch.float32 else (300, 303)  # more than 6 MB, its halves less
    y = warp(image, grid, size, padding="zeros")
    for part in (slice(0, 32), slice(32, 64)):
        half = laid(image[:, part], "channels_last")
        assert torch.equal(y[:, part], warp(half, grid, size, padding="zeros"))


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("size", [(5, 6), (3, 4), (1, 1)])
def test_the_gradient_is_right(padding: str, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(4)
    image = torch.randn(2, 3, 7, 9, dtype=torch.double, generator=generator).requires_grad_()
    grid = torch.rand(2, 2, 3, 4, dtype=torch.double, generator=generator) * 12 - 2
    assert torch.autograd.gradcheck(
        lambda a, b: warp(a, b, size, padding=padding), (image, grid.requires_grad_())
    )


def test_only_the_wanted_gradient_is_made() -> None:
    image, grid = torch.randn(1, 16, 8, 8), plain_grid(8, 8) + 0.3
    warp(image.clone().requires_grad_(), grid).sum().backward()
    leaf = grid.clone().requires_grad_()
    warp(image, leaf).square().sum().backward()
    assert leaf.grad is not None
    assert not warp(image.byte(), leaf).requires_grad


def test_the_operator_keeps_the_rules_of_torch() -> None:
    image, grid = torch.randn(2, 32, 5, 4), torch.rand(2, 2, 3, 2) * 4
    last = laid(image, "channels_last")
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for given_image in (image, last, last.byte()):
        torch.library.opcheck(_forward, (given_image, grid, 6, 7, True), test_utils=tests)
    for needed in ([True, True], [False, True], [True, False]):
        arguments = (torch.randn(2, 32, 6, 7), last, grid, True, needed)
        torch.library.opcheck(_backward, arguments, test_utils=tests)


def test_it_is_traced_as_one_operation() -> None:
    def model(image: Tensor, grid: Tensor) -> Tensor:
        return warp(image, grid, (6, 7)).sum((2, 3))

    image, grid = torch.randn(1, 3, 5, 4).requires_grad_(), torch.rand(1, 2, 2, 2) * 4
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(image, grid), model(image, grid))
    found = torch.autograd.grad(compiled(image, grid).sum(), image)[0]
    torch.testing.assert_close(found, torch.autograd.grad(model(image, grid).sum(), image)[0])


@pytest.mark.parametrize(
    ("image", "grid", "options", "message"),
    [
        (torch.zeros(3, 4, 4), torch.zeros(1, 2, 2, 2), {}, "image must be"),
        (torch.zeros(1, 3, 4, 4).int(), torch.zeros(1, 2, 2, 2), {}, "image must be"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(1, 2, 2, 2), {}, "grid must be"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 2, 2), {}, "grid must be"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 2), {"padding": "wrap"}, "'wrap'"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 2), {"size": (-1, 2)}, "not be negative"),
        (torch.zeros(1, 3, 0, 4), torch.zeros(1, 2, 2, 2), {}, "nothing to sample"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 0, 2), {"size": (3, 3)}, "nothing to sample"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    image: Tensor, grid: Tensor, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        warp(image, grid, **options)  # type: ignore[arg-type]
