"""The native module: what it reports, every build of it, and life without it."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from avatar.ops import adain, native_status, warp
from avatar.ops._adain import adain_reference
from avatar.ops._warp import warp_reference

needs_native = pytest.mark.skipif(
    not native_status().built, reason=f"no native kernels: {native_status().problem}"
)


@pytest.fixture
def native() -> Iterator[ModuleType]:
    """The CPU module; its choice of instruction set is put back afterwards."""
    module = importlib.import_module("avatar._native")
    chosen = module.isa()
    yield module
    module.use_isa(chosen)


def test_the_status_says_what_runs() -> None:
    status = native_status()
    assert status.threads == torch.get_num_threads()
    assert status.built == bool(status.isa) == (not status.problem)


@needs_native
def test_every_build_agrees_with_the_reference(native: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 48, 20, 30, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    style = torch.randn(1, 48, generator=generator)
    photo = torch.randint(0, 256, (1, 3, 50, 60), dtype=torch.uint8, generator=generator)
    photo = photo.contiguous(memory_format=torch.channels_last)
    grid = torch.rand(1, 2, 5, 4, generator=generator) * 60 - 5
    for isa in native.available_isas():
        native.use_isa(isa)
        assert native_status().isa == isa
        right = adain_reference(x, style, style, None, 0.2, 1e-5)
        torch.testing.assert_close(
            adain(x, style, style, negative_slope=0.2), right, rtol=1e-5, atol=1e-5
        )
        for padding in ("border", "zeros"):
            right = warp_reference(photo, grid, (77, 90), padding)
            difference = warp(photo, grid, (77, 90), padding=padding).int() - right.int()
            assert int(difference.abs().max()) <= 1  # a half may round to either side
            right = warp_reference(x, grid, (77, 90), padding)
            torch.testing.assert_close(
                warp(x, grid, (77, 90), padding=padding), right, rtol=1e-4, atol=1e-4
            )


@needs_native
def test_an_unknown_build_is_refused(native: ModuleType) -> None:
    with pytest.raises(ValueError, match="cannot run"):
        native.use_isa("x86-64-v9")


@needs_native
def test_other_threads_of_python_run_meanwhile() -> None:
    photo = torch.zeros(1, 3, 3000, 3000, dtype=torch.uint8)
    photo = photo.contiguous(memory_format=torch.channels_last)
    grid = torch.tensor([[[0.0, 2999], [0, 2999]], [[0, 0], [2999, 2999]]])[None]
    done = threading.Event()

    def work() -> None:
        for _ in range(3):
            warp(photo, grid, (3000, 3000))
        done.set()

    worker = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)  # only a released lock lets this thread go on
    try:
        worker.start()
        turns = 0
        while not done.is_set():
            turns += 1
            time.sleep(0.001)
    finally:
        sys.setswitchinterval(interval)
    worker.join()
    assert turns > 1


def test_without_the_module_the_reference_runs_and_one_warning_is_given() -> None:
    code = """
import sys, warnings
sys.modules["avatar._native"] = None
import torch
with warnings.catch_warnings():
    warnings.simplefilter("error")
    from avatar.ops import adain, native_status, warp
    from avatar.ops._adain import adain_reference
    from avatar.ops._warp import warp_reference
x, style, grid = torch.randn(1, 32, 8, 8), torch.randn(1, 32), torch.rand(1, 2, 3, 3) * 8
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        y = adain(x, style, style, negative_slope=0.2)
        z = warp(x, grid, (5, 5))
assert torch.equal(y, adain_reference(x, style, style, None, 0.2, 1e-5))
assert torch.equal(z, warp_reference(x, grid, (5, 5), "border"))
assert not native_status().built and native_status().problem
print(len(caught), caught[0].category.__name__, caught[0].message)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.startswith("1 RuntimeWarning the native kernels are not available")
