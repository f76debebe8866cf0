"""The end of a step that hears: what a network says of the mouth becomes curves and visemes.

Numpy in and out. It only runs, so there is no gradient here and nothing for ``torch.compile``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.errors import InputError
from avatar.ops import _native

FloatArray = NDArray[np.float32]

_ZERO, _ONE, _LEAST_LOGIT = np.float32(0.0), np.float32(1.0), np.float32(-30.0)


class Mouth:
    """Curves that part the lips, held back by the visemes, and both by whether there is a voice.

    Args:
        opens: ``[C]``, the share that the viseme ``pressed`` takes of each curve.
        parted: ``[C]``, what is added to each where the sounds of speech keep the lips apart.
        not_parted: ``[V]``, how surely each viseme takes that away.
        pressed: a viseme.
        gate: chance of a voice at which the mouth begins to move, and how much more it takes until
            it moves fully.
    """

    def __init__(
        self,
        *,
        opens: FloatArray,
        parted: FloatArray,
        not_parted: FloatArray,
        pressed: int,
        gate: tuple[float, float],
    ) -> None:
        self.curves, self.visemes = len(opens), len(not_parted)
        self._tables = opens, parted, not_parted
        self._pressed = pressed
        self._gate = gate

    def __call__(
        self,
        raw: FloatArray,  # [R, C + V] curves, viseme logits
        voiced: FloatArray,  # [R] speech logits
    ) -> tuple[FloatArray, FloatArray]:
        """``[R, C + V]``, curves in [0, 1] and visemes that sum to 1, and ``[R]``, speech."""
        rows = len(voiced)
        _check("raw", raw, (rows, self.curves + self.visemes))
        _check("voiced", voiced, (rows,))
        kernels = _native.cpu_kernels()
        if kernels is None:
            return self.reference(raw, voiced)
        shape, speech = np.empty_like(raw), np.empty_like(voiced)
        kernels.mouth(
            rows, self.curves, self.visemes, raw, voiced, *self._gate, self._pressed,
            *self._tables, shape, speech,
        )  # fmt: skip
        return shape, speech

    def reference(self, raw: FloatArray, voiced: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The specification, in plain numpy."""
        opens, parted, not_parted = self._tables
        begin, span = (np.float32(value) for value in self._gate)
        chance = _ONE / (_ONE + np.exp(-np.maximum(voiced, _LEAST_LOGIT)))
        speech: FloatArray = np.clip((chance - begin) / span, _ZERO, _ONE)
        logits = raw[:, self.curves :]
        visemes = np.exp(logits - logits.max(1, keepdims=True))
        visemes /= visemes.sum(1, keepdims=True)
        curves = np.maximum(raw[:, : self.curves], _ZERO)
        curves *= _ONE - visemes[:, self._pressed, None] * opens
        curves += np.maximum(_ONE - (visemes * not_parted).sum(1), _ZERO)[:, None] * parted
        heard = speech[:, None]
        curves = np.minimum(curves, _ONE) * heard
        visemes *= heard
        visemes[:, 0] += _ONE - speech
        return np.concatenate([curves, visemes], 1), speech


def _check(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32 or not array.flags.c_contiguous:
        raise InputError(
            f"mouth: {name} must be {list(shape)} float32 without gaps, "
            f"got {list(array.shape)} {array.dtype}"
        )
