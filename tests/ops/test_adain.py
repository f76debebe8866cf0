"""adain equals its specification, whatever the layout, type, size or number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import adain
from avatar.ops._adain import _backward, _forward, adain_reference

LAYOUTS = (
    "channels_last",
    "contiguous",
    "channels sliced",
    "rows sliced",
    "transposed",
    "expanded",
)


@pytest.fixture(autouse=True)
def _restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def laid(tensor: Tensor, layout: str) -> Tensor:
    """The same values (of the first image, if expanded) in another memory layout."""
    last = tensor.contiguous(memory_format=torch.channels_last)
    match layout:
        case "channels_last":
            return last
        case "channels sliced":
            doubled = torch.cat([last, last], 1).contiguous(memory_format=torch.channels_last)
            return doubled[:, tensor.shape[1] :]
        case "rows sliced":
            return torch.cat([last, last], 3)[..., : tensor.shape[3]]
        case "transposed":
            return tensor.transpose(2, 3).contiguous().transpose(2, 3)
        case "expanded":
            return tensor[:1].expand_as(tensor)
        case _:
            return tensor.contiguous()


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    shape = (
        draw(st.integers(0, 3)),
        draw(st.sampled_from([1, 2, 3, 5, 15, 16, 17, 31, 32, 40, 64, 96])),
        draw(st.integers(0, 19)),
        draw(st.sampled_from([0, 1, 2, 7, 16, 33, 70])),
    )
    return {
        "shape": shape,
        "layout": draw(st.sampled_from(LAYOUTS)),
        "dtype": draw(st.sampled_from([torch.float32, torch.bfloat16])),
        "residual": draw(st.sampled_from([None, *LAYOUTS])),
        "slope": draw(st.sampled_from([0.0, 0.2, 1.0])),
        "mean": draw(st.sampled_from([0.0, 3.0, -2000.0])),
        "threads": draw(st.sampled_from([1, 2])),
        "seed": draw(st.integers(0, 10_000)),
    }


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_the_result_is_that_of_the_float64_reference(case: dict[str, object]) -> None:
    generator = torch.Generator().manual_seed(int(str(case["seed"])))
    shape, dtype, slope = case["shape"], case["dtype"], float(str(case["slope"]))
    assert isinstance(shape, tuple)
    assert isinstance(dtype, torch.dtype)
    mean = float(str(case["mean"])) if dtype == torch.float32 else 1.0
    x = laid((torch.randn(shape, generator=generator) * 2 + mean).to(dtype), str(case["layout"]))
    scale, shift = (torch.randn(shape[:2], generator=generator) for _ in range(2))
    residual = None
    if case["residual"] is not None:
        residual = laid(torch.randn(shape, generator=generator).to(dtype), str(case["residual"]))
    torch.set_num_threads(int(str(case["threads"])))
    y = adain(x, scale, shift, residual=residual, negative_slope=slope, eps=1e-3)
    assert y.shape == x.shape
    assert y.dtype == dtype
    if not x.numel():
        return
    wide = None if residual is None else residual.double()
    right = adain_reference(x.double(), scale.double(), shift.double(), wide, slope, 1e-3)
    # An offset of 2000 costs x itself 1e-4 of precision before any arithmetic begins.
    limit = 1e-4 if dtype == torch.float32 else 0.01
    torch.testing.assert_close(y.double(), right, rtol=limit, atol=limit)


@pytest.mark.parametrize("channels", [3, 40, 64])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_the_bits_do_not_depend_on_the_number_of_threads(channels: int, layout: str) -> None:
    x = laid(torch.randn(2, channels, 33, 21), layout)
    scale, shift = torch.randn(2, channels), torch.randn(2, channels)
    torch.set_num_threads(1)
    alone = adain(x, scale, shift, negative_slope=0.2)
    torch.set_num_threads(2)
    assert torch.equal(alone, adain(x, scale, shift, negative_slope=0.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_too_large_for_the_caches_is_the_same(dtype: torch.dtype) -> None:
    side = 145 if dtype == torch.float32 else 210  # more than 6 MB, its halves less
    x = laid(torch.randn(1, 128, side, side).to(dtype), "channels_last")
    scale, shift = torch.randn(1, 128), torch.randn(1, 128)
    y = adain(x, scale, shift, residual=x, negative_slope=0.2)
    for part in (slice(0, 64), slice(64, 128)):
        half = laid(x[:, part], "channels_last")
        styles = (t[:, part].contiguous() for t in (scale, shift))
        assert torch.equal(y[:, part], adain(half, *styles, residual=half, negative_slope=0.2))


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_each_image_of_a_batch_is_as_if_alone(layout: str) -> None:
    x = laid(torch.randn(3, 32, 9, 9), layout)
    scale, shift = torch.randn(3, 32), torch.randn(3, 32)
    together = adain(x, scale, shift)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.equal(together[one], adain(laid(x[one], layout), scale[one], shift[one]))


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_common_offset_costs_no_precision(layout: str) -> None:
    base = torch.randint(-8, 9, (1, 32, 40, 40)).float()
    scale, shift = torch.randn(1, 32), torch.randn(1, 32)
    near = adain(laid(base, layout), scale, shift)
    far = adain(laid(base + 2.0**20, layout), scale, shift)  # still exact in float32
    torch.testing.assert_close(far, near, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_spoils_its_channel_only(layout: str, bad: float) -> None:
    x = torch.randn(2, 32, 9, 9)
    x[1, 5, 3, 4] = bad
    y = adain(laid(x, layout), torch.ones(2, 32), torch.zeros(2, 32), negative_slope=0.2)
    assert y[1, 5].isnan().all()
    y[1, 5] = 0
    assert y.isfinite().all()


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_flat_channel_becomes_its_shift(layout: str) -> None:
    shift = torch.randn(1, 32)
    y = adain(laid(torch.full((1, 32, 8, 8), 7.7), layout), torch.randn(1, 32), shift)
    torch.testing.assert_close(y, shift[:, :, None, None].expand_as(y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_result_keeps_type_and_layout(layout: str, dtype: torch.dtype) -> None:
    x = laid(torch.randn(2, 32, 6, 5), layout).to(dtype)
    y = adain(x, torch.randn(2, 32), torch.randn(2, 32))
    assert y.dtype == dtype
    assert y.stride() == x.stride()


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_the_gradient_is_right(slope: float) -> None:
    generator = torch.Generator().manual_seed(3)
    x, residual = (torch.randn(2, 5, 4, 3, dtype=torch.double, generator=generator) for _ in "12")
    scale, shift = (torch.randn(2, 5, dtype=torch.double, generator=generator) for _ in range(2))
    inputs = [t.requires_grad_() for t in (x, scale, shift, residual)]

    def of_all(x: Tensor, scale: Tensor, shift: Tensor, residual: Tensor) -> Tensor:
        return adain(x, scale, shift, residual=residual, negative_slope=slope)

    assert torch.autograd.gradcheck(of_all, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_the_gradient_of_the_native_kernel_is_that_of_the_reference(
    dtype: torch.dtype, layout: str
) -> None:
    generator = torch.Generator().manual_seed(5)
    x = laid(torch.randn(2, 32, 9, 7, generator=generator).to(dtype), layout).requires_grad_()
    scale, shift = (torch.randn(2, 32, generator=generator).requires_grad_() for _ in range(2))
    wide = [t.detach().double().requires_grad_() for t in (x, scale, shift)]
    right = adain_reference(*wide, None, 0.2, 1e-5)
    # Where the sign of the result is a matter of rounding, so is the gradient.
    grad = torch.randn(x.shape, generator=generator) * (right.abs() > 0.05)
    found = torch.autograd.grad(
        adain(x, scale, shift, negative_slope=0.2), (x, scale, shift), grad.to(dtype)
    )
    limit = 1e-4 if dtype == torch.float32 else 0.02
    for a, b in zip(found, torch.autograd.grad(right, wide, grad.to(dtype).double()), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=limit, atol=limit)


def test_autocast_is_followed() -> None:
    layer = torch.nn.Conv2d(16, 16, 3, padding=1)
    style = torch.nn.Linear(4, 32)
    x = torch.randn(2, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        scale, shift = style(torch.randn(2, 4)).chunk(2, 1)
        y = adain(layer(x), scale, shift, residual=x, negative_slope=0.2)
    assert y.dtype == torch.bfloat16
    y.float().square().mean().backward()
    assert style.weight.grad is not None
    assert style.weight.grad.isfinite().all()


def test_the_operator_keeps_the_rules_of_torch() -> None:
    x, style = torch.randn(2, 32, 5, 4), torch.randn(2, 32)
    last = laid(x, "channels_last")
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for arguments in ((last, style, style, x, 0.2, 1e-5), (x, style, style, None, 1.0, 1e-5)):
        torch.library.opcheck(_forward, arguments, test_utils=tests)
    for arguments in ((x, last, style, last, 0.2, 1e-5), (x, x, style, None, 1.0, 1e-5)):
        torch.library.opcheck(_backward, arguments, test_utils=tests)


def test_it_is_traced_as_one_operation() -> None:
    def model(x: Tensor, style: Tensor) -> Tensor:
        scale, shift = style.chunk(2, 1)
        return adain(x.relu(), scale, shift, negative_slope=0.2).sum((2, 3))

    x, style = torch.randn(1, 32, 5, 4), torch.randn(1, 64).requires_grad_()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, style), model(x, style))
    found = torch.autograd.grad(compiled(x, style).sum(), style)[0]
    torch.testing.assert_close(found, torch.autograd.grad(model(x, style).sum(), style)[0])


@pytest.mark.parametrize(
    ("x", "scale", "shift", "options", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(2, 3), torch.zeros(2, 3), {}, "x must be"),
        (torch.zeros(2, 3, 4, 4).int(), torch.zeros(2, 3), torch.zeros(2, 3), {}, "x must be"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3), torch.zeros(2, 3), {}, "scale must be"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3), torch.zeros(1, 3), {}, "shift must be"),
        (
            torch.zeros(2, 3, 4, 4), torch.zeros(2, 3), torch.zeros(2, 3),
            {"residual": torch.zeros(2, 3, 4, 5)}, "residual must be",
        ),
        (
            torch.zeros(2, 3, 4, 4), torch.zeros(2, 3), torch.zeros(2, 3),
            {"negative_slope": -0.1}, "not be negative",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    x: Tensor, scale: Tensor, shift: Tensor, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        adain(x, scale, shift, **options)  # type: ignore[arg-type]
