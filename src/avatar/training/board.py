"""Figures and pictures for TensorBoard, where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from avatar.errors import DependencyError


class Board:
    """Writes event files that ``tensorboard --logdir FOLDER`` shows.

    Raises:
        DependencyError: tensorboard is not installed; nothing else here needs it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DependencyError(
                "--tensorboard needs the package tensorboard: pip install tensorboard"
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def write(self, samples: int, figures: dict[str, Any], sheet: Tensor) -> None:
        """The numbers of ``figures``, and the rows ``[rows, n, 3, S, S]`` in [-1, 1] of a sheet."""
        for name, value in figures.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, samples)
        rows = sheet.clamp(-1, 1).float().cpu()
        picture = rows.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
        self._writer.add_image("source, warped, painted, true", (picture + 1) / 2, samples)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
