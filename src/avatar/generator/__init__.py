"""From a photo and landmarks to pixels: embed once, then warp and paint every frame."""

from avatar.generator.background import Background, BackgroundSource
from avatar.generator.batched import Batches, DrawingThread
from avatar.generator.deltas import Deltas
from avatar.generator.generator import Generator
from avatar.generator.portrait import Portrait

__all__ = [
    "Background",
    "BackgroundSource",
    "Batches",
    "Deltas",
    "DrawingThread",
    "Generator",
    "Portrait",
]
