"""The network of a stream in native code says what its numpy specification says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import Dense, Tower, native_status

needs_kernels = pytest.mark.skipif(
    not native_status().built, reason="the native kernels are not built"
)


def layer(rng: np.random.Generator, outputs: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    weight = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
    return torch.from_numpy(weight).float(), torch.from_numpy(rng.standard_normal(outputs)).float()


@needs_kernels
@given(
    outputs=st.integers(1, 40), inputs=st.integers(1, 70), rectified=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_layer_equals_its_reference(
    outputs: int, inputs: int, rectified: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dense = Dense(*layer(rng, outputs, inputs), rectified=rectified)
    x = rng.standard_normal(inputs).astype(np.float32)
    np.testing.assert_allclose(dense(x), dense.reference(x), rtol=1e-5, atol=1e-5)


@needs_kernels
@given(
    width=st.integers(1, 40), inputs=st.integers(1, 50),
    dilations=st.lists(st.integers(1, 9), max_size=4), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_tower_equals_its_reference_step_after_step(
    width: int, inputs: int, dilations: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layers = [layer(rng, width, 2 * width) for _ in dilations]
    tower = Tower(layer(rng, width, inputs), layers, dilations)
    native, plain = tower.start(), tower.start()
    for step in range(12):
        x = rng.standard_normal(inputs).astype(np.float32)
        made, expected = tower(x, native, step), tower.reference(x, plain, step)
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(native, plain, rtol=1e-4, atol=1e-4)


def test_weights_are_rounded_to_bfloat16_and_cannot_be_changed() -> None:
    dense = Dense(torch.tensor([[1.00001]]), torch.tensor([0.5]))
    assert dense(np.ones(1, np.float32)).tolist() == [1.5]
    assert not dense._weight.flags.writeable
    assert not dense._bias.flags.writeable


def test_what_is_not_a_number_stays_so() -> None:
    dense = Dense(torch.ones(2, 20), torch.zeros(2))
    x = np.ones(20, np.float32)
    x[3] = np.nan
    assert np.isnan(dense(x)).all()


def test_wrong_input_is_refused_with_its_shape() -> None:
    tower = Tower((torch.ones(3, 4), torch.zeros(3)), [], [])
    with pytest.raises(InputError, match=r"x must be \[4\] float32 .* got \[5\] float32"):
        tower(np.ones(5, np.float32), tower.start(), 0)
    with pytest.raises(InputError, match=r"got .*float64"):
        Dense(torch.ones(2, 3), torch.zeros(2))(np.ones(3))  # type: ignore[arg-type]
