"""Everyday calls go past torch's dispatcher, and nothing can be told from it but the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from avatar.ops import _native, adain, native_status, warp
from avatar.ops._adain import _forward as adain_operator
from avatar.ops._warp import _forward as warp_operator

needs_native = pytest.mark.skipif(
    not native_status().built, reason=f"no native kernels: {native_status().problem}"
)
pytestmark = needs_native

SHAPES = ((1, 16, 1, 1), (2, 3, 5, 4), (1, 1, 3, 3), (2, 40, 6, 1), (1, 64, 1, 9), (3, 1, 1, 1))


def image(shape: tuple[int, ...], layout: torch.memory_format) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=layout)


def adain_at_once(*given: object) -> Tensor | None:
    y: Tensor | None = _native.at_once().adain_at_once(*given, torch.get_num_threads())  # type: ignore[union-attr]
    return y


def warp_at_once(*given: object) -> Tensor | None:
    y: Tensor | None = _native.at_once().warp_at_once(*given, torch.get_num_threads())  # type: ignore[union-attr]
    return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES)
def test_adain_is_the_operator_of_torch_to_the_bit(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    x, residual = image(shape, layout).to(dtype), image(shape, layout).to(dtype)
    scale, shift = torch.randn(shape[0], 2 * shape[1]).chunk(2, 1)
    if shape[0] > 1:
        scale, shift = scale.contiguous(), shift.contiguous()
    for added in (None, residual):
        found = adain_at_once(x, scale, shift, added, 0.2, 1e-5)
        assert found is not None
        right = adain_operator(x, scale, shift, added, 0.2, 1e-5)
        assert found.stride() == right.stride()
        assert found.dtype == right.dtype
        assert torch.equal(found, right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES)
def test_warp_is_the_operator_of_torch_to_the_bit(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    given = (50 * image(shape, layout)).to(dtype)
    grid = 5 * torch.rand(shape[0], 2, 4, 3)
    for size in (None, (1, 1), (9, 5)):
        found = warp_at_once(given, grid, size, False)
        right = warp_operator(given, grid, *(size or (4, 3)), False)
        if layout is torch.contiguous_format and shape[1] >= 16 and found is None:
            continue  # planes that are first turned around
        assert found is not None
        assert found.stride() == right.stride()
        assert found.dtype == right.dtype
        assert torch.equal(found, right)


def test_what_is_not_everyday_takes_the_long_way() -> None:
    x, style = image((2, 8, 4, 4), torch.channels_last), torch.randn(2, 8)
    imaginary = torch.view_as_complex(torch.randn(2, 8, 2)).conj().imag  # to be negated yet
    for given in (
        (x.half(), style, style, None, 0.2, 1e-5),
        (x.double(), style.double(), style.double(), None, 0.2, 1e-5),
        (x[:, :, :, :3], style, style, None, 0.2, 1e-5),
        (x.transpose(2, 3), style, style, None, 0.2, 1e-5),
        (x[:0], style[:0], style[:0], None, 0.2, 1e-5),
        (x[0], style, style, None, 0.2, 1e-5),
        (x, style.bfloat16(), style, None, 0.2, 1e-5),
        (x, style, style.t(), None, 0.2, 1e-5),
        (x, style, imaginary, None, 0.2, 1e-5),
        (x, style, style, x.contiguous(), 0.2, 1e-5),
        (x, style, style, x.bfloat16(), 0.2, 1e-5),
        (x, style, style, None, -0.2, 1e-5),
        (x, style, style, None, 0.2, "small"),
        (torch.nn.Parameter(x), style, style, None, 0.2, 1e-5),
        (x.to("meta"), style, style, None, 0.2, 1e-5),
        (x.to_sparse(), style, style, None, 0.2, 1e-5),
        ("x", style, style, None, 0.2, 1e-5),
    ):
        assert adain_at_once(*given) is None
    grid = torch.zeros(2, 2, 3, 3)
    for moved in (
        (x.double(), grid, None, True),
        (x, grid.double(), None, True),
        (x, grid[:1], None, True),
        (x, grid[:, :1], None, True),
        (x, grid[:, :, :0], None, True),
        (x, grid.transpose(2, 3), None, True),
        (x, grid[0], None, True),
        (x, grid, (0, 3), True),
        (x, grid, (3, -1), True),
        (x, grid, (2**40, 3), True),
        (x, grid, (3,), True),
        (x, grid, 3, True),
        (None, grid, None, True),
    ):
        assert warp_at_once(*moved) is None


def calls(x: Tensor) -> Tensor:
    """Both operations, as an everyday call has them."""
    styles = torch.ones(x.shape[:2])
    return adain(warp(x, torch.zeros(x.shape[0], 2, 3, 3)), styles, styles)


class _Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class _Overridden(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def _profiled(x: Tensor) -> list[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        calls(x)
    return [event.key.replace("::", ".") + ".default" for event in profile.key_averages()]


def _dispatched(x: Tensor) -> list[str]:
    with _Dispatched() as mode:
        calls(x)
    return mode.seen


def _overridden(x: Tensor) -> list[str]:
    with _Overridden() as mode:
        calls(x)
    return mode.seen


def _traced(x: Tensor) -> list[str]:
    return [str(node.target) for node in make_fx(calls)(x).graph.nodes]


@pytest.mark.parametrize("watch", [_dispatched, _overridden, _profiled, _traced])
def test_what_watches_operations_sees_them(watch: Callable[[Tensor], list[str]]) -> None:
    seen = watch(image((1, 8, 4, 4), torch.channels_last))
    assert "avatar.warp.default" in seen
    assert "avatar.adain.default" in seen


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_transforms_of_functions_are_not_passed_by() -> None:
    x = torch.randn(3, 1, 8, 4, 4)
    torch.testing.assert_close(torch.func.vmap(calls)(x), torch.stack([calls(one) for one in x]))


def test_tensors_without_memory_stay_so() -> None:
    with FakeTensorMode():
        y = calls(torch.empty(1, 8, 4, 4, memory_format=torch.channels_last))
    assert y.shape == (1, 8, 3, 3)
