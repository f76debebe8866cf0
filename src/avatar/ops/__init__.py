"""Tensor operations with native kernels behind them.

One file an operation: the public function (which validates), the pure-torch reference (which is the
specification), the fake for tracing, the gradient, and the dispatch to the native kernel. Without
the built extension everything runs on the references.

Images are ``[B, C, H, W]``; channels-last memory is the fast layout for feature maps.
"""

from avatar.ops._adain import adain
from avatar.ops._chain import Chain, Link
from avatar.ops._compose import Layer, compose
from avatar.ops._faded_shuffle import faded_shuffle
from avatar.ops._log_mel import LogMel
from avatar.ops._mouth import Mouth
from avatar.ops._native import NativeStatus, native_status
from avatar.ops._signed_distance import signed_distance
from avatar.ops._spread import spread
from avatar.ops._spread_over_grid import spread_over_grid
from avatar.ops._tower import Tower
from avatar.ops._warp import warp
from avatar.ops._yuv420 import yuv420_

__all__ = [
    "Chain",
    "Layer",
    "Link",
    "LogMel",
    "Mouth",
    "NativeStatus",
    "Tower",
    "adain",
    "compose",
    "faded_shuffle",
    "native_status",
    "signed_distance",
    "spread",
    "spread_over_grid",
    "warp",
    "yuv420_",
]
