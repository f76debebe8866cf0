"""Drawing for devices that like large batches: GPUs."""

from avatar.generator.batched.batches import Batches
from avatar.generator.batched.thread import DrawingThread

__all__ = ["Batches", "DrawingThread"]
