"""The network of a stream in native code says what its numpy specification says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import Tower, _native, native_status

needs_kernels = pytest.mark.skipif(
    not native_status().built, reason="the native kernels are not built"
)


def layer(rng: np.random.Generator, outputs: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    weight = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
    return torch.from_numpy(weight).float(), torch.from_numpy(rng.standard_normal(outputs)).float()


def tower(
    rng: np.random.Generator, *, inputs: int, width: int, dilations: list[int], tail: list[int]
) -> Tower:
    layers = [layer(rng, width, 2 * width) for _ in dilations]
    sizes = [width, *tail]
    ends = [layer(rng, after, before) for before, after in itertools.pairwise(sizes)]
    return Tower(layer(rng, width, inputs), layers, dilations, ends)


@needs_kernels
@given(
    width=st.integers(1, 70), inputs=st.integers(1, 50),
    dilations=st.lists(st.integers(1, 9), max_size=4),
    tail=st.lists(st.integers(1, 140), max_size=3),
    rows=st.integers(0, 9), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_tower_equals_its_reference_step_after_step(
    width: int, inputs: int, dilations: list[int], tail: list[int], rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = tower(rng, inputs=inputs, width=width, dilations=dilations, tail=tail)
    native, plain = ([net.start() for _ in range(rows)] for _ in range(2))
    for step in range(12):
        x = rng.standard_normal((rows, inputs)).astype(np.float32)
        made = net(x, native, [step] * rows)
        expected = net.reference(x, plain, [step] * rows)
        assert made.shape == (rows, net.outputs)
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=2e-4)
        np.testing.assert_allclose(native, plain, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("built", [pytest.param(True, marks=needs_kernels), False])
@pytest.mark.parametrize("rows", [2, 5, 6, 7, 13])
def test_a_row_is_the_same_bits_in_any_company(
    rows: int, built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not built:
        monkeypatch.setattr(_native, "cpu_kernels", lambda: None)
    rng = np.random.default_rng(rows)
    net = tower(rng, inputs=37, width=24, dilations=[1, 3], tail=[30, 5])
    together, alone = ([net.start() for _ in range(rows)] for _ in range(2))
    for step in range(6):
        x = rng.standard_normal((rows, 37)).astype(np.float32)
        made = net(x, together, [step] * rows)
        for k in range(rows):
            assert np.array_equal(net(x[k : k + 1], alone[k : k + 1], [step]), made[k : k + 1])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("built", [pytest.param(True, marks=needs_kernels), False])
def test_steps_of_one_stream_may_come_at_once(built: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not built:
        monkeypatch.setattr(_native, "cpu_kernels", lambda: None)
    rng = np.random.default_rng(1)
    net = tower(rng, inputs=11, width=8, dilations=[1, 2, 4], tail=[])
    x = rng.standard_normal((9, 11)).astype(np.float32)
    at_once, in_turn = net.start(), net.start()
    made = net(x, [at_once] * 9, range(9))
    for step in range(9):
        assert np.array_equal(net(x[step : step + 1], [in_turn], [step]), made[step : step + 1])
    assert np.array_equal(at_once, in_turn)


def test_weights_are_rounded_to_bfloat16_and_cannot_be_changed() -> None:
    net = Tower((torch.tensor([[1.00001]]), torch.tensor([0.5])), [], [])
    assert net(np.ones((1, 1), np.float32), [net.start()], [0]).tolist() == [[1.5]]
    assert not net._weight.flags.writeable
    assert not net._bias.flags.writeable


def test_what_is_not_a_number_stays_so() -> None:
    net = Tower((torch.ones(2, 20), torch.zeros(2)), [], [])
    x = np.ones((1, 20), np.float32)
    x[0, 3] = np.nan
    assert np.isnan(net(x, [net.start()], [0])).all()


def test_wrong_input_is_refused_with_its_shape() -> None:
    net = Tower((torch.ones(3, 4), torch.zeros(3)), [(torch.ones(3, 6), torch.zeros(3))], [2])
    with pytest.raises(InputError, match=r"x must be \[R, 4\] float32 .* got \[1, 5\] float32"):
        net(np.ones((1, 5), np.float32), [net.start()], [0])
    with pytest.raises(InputError, match=r"got .*float64"):
        net(np.ones((1, 4)), [net.start()], [0])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got 2, 1 and 2"):
        net(np.ones((2, 4), np.float32), [net.start()], [0, 1])


@needs_kernels
def test_rings_of_another_tower_are_refused() -> None:
    net = Tower((torch.ones(3, 4), torch.zeros(3)), [(torch.ones(3, 6), torch.zeros(3))], [2])
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 3)), np.zeros((3, 2), np.float32).T):
        with pytest.raises(ValueError, match="size"):
            net(np.ones((1, 4), np.float32), [wrong], [0])  # type: ignore[list-item]
