"""The face-alignment adapter: 68 points of a face alignment network, lifted through the rig.

Follows "How far are we from solving the 2D & 3D face alignment problem?" (Bulat and Tzimiropoulos,
2017) by its authors' package face-alignment 1.5; the weights are theirs and are never downloaded
here.
"""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.errors import DependencyError, WeightsError
from avatar.face.detector import FaceDetector, MediaPipeDetector, check_image
from avatar.face.rig import FaceRig
from avatar.types import Face, FloatArray, ImageArray

WEIGHTS_FILE = "2DFAN4-11f355bf06.pth.tar"

_MODULES = 4
_BOX_REFERENCE = 195.0
_BOX_PIXELS = 200.0
_BOX_LIFT = 0.12
_UNREADABLE = (
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, EOFError,
    pickle.UnpicklingError,
)  # fmt: skip


class FaceAlignmentDetector:
    """68-point landmarks by face-alignment's 2D-FAN-4 network.

    The boxes come from another detector; the package's own box detectors download their weights.
    The expression is the one the rig finds in the lifted points.

    Args:
        weights: the file ``2DFAN4-11f355bf06.pth.tar``; by default looked up in torch's cache,
            ``$TORCH_HOME/hub/checkpoints``.
        boxes: what finds the faces; MediaPipe by default.

    Raises:
        DependencyError: face-alignment is not installed (at the first image).
        WeightsError: the weights are not there or cannot be used (at the first image).
    """

    def __init__(
        self, weights: Path | str | None = None, *, boxes: FaceDetector | None = None
    ) -> None:
        self._weights = Path(weights) if weights is not None else None
        self._boxes = boxes if boxes is not None else MediaPipeDetector()
        self._lock = threading.Lock()
        self._network: Any = None

    def detect(
        self,
        image: ImageArray,  # [H, W, 3] RGB
    ) -> list[Face]:
        """Every face the box detector finds, the largest first, with this network's landmarks.

        Raises:
            ImageError: ``image`` is not ``[H, W, 3]`` uint8.
        """
        check_image(image)
        with self._lock:
            if self._network is None:
                self._network = _load_network(self._weights)
        rig = FaceRig.load()
        faces = []
        for found in self._boxes.detect(image):
            landmarks = rig.lift(self._points68(image, found.box))
            faces.append(Face(landmarks, rig.fit(landmarks).expression))
        return faces

    def _points68(self, image: ImageArray, box: tuple[float, float, float, float]) -> FloatArray:
        """The 68 points ``[68, 2]`` in pixels of the face inside ``box``."""
        from face_alignment.utils import crop, flip

        left, top, right, bottom = box
        width, height = right - left, bottom - top
        centre = np.array([left + width / 2, top + height / 2 - height * _BOX_LIFT])
        scale = (width + height) / _BOX_REFERENCE
        patch = crop(image, centre, scale).transpose(2, 0, 1)[None].astype(np.float32) / 255.0
        batch = torch.from_numpy(patch)
        with torch.inference_mode():
            heat = self._network(batch)[-1]
            heat = heat + flip(self._network(flip(batch))[-1], is_label=True)
        peaks = _peaks(heat[0].numpy())
        side = _BOX_PIXELS * scale
        return np.asarray((peaks / heat.shape[-1] - 0.5) * side + centre, np.float32)


def _peaks(
    heat: NDArray[np.float32],  # [68, S, S]
) -> NDArray[np.float64]:
    """Where each map is highest, ``[68, 2]`` in cells, moved a quarter towards the higher side.

    As ``face_alignment.utils.get_preds_fromhm``, without its compilation at the first call and
    without its rounding to whole pixels.
    """
    size = heat.shape[-1]
    maps = np.arange(len(heat))
    y, x = np.divmod(heat.reshape(len(heat), -1).argmax(1), size)
    inside = (x > 0) & (x < size - 1) & (y > 0) & (y < size - 1)
    left, right = np.maximum(x - 1, 0), np.minimum(x + 1, size - 1)
    above, below = np.maximum(y - 1, 0), np.minimum(y + 1, size - 1)
    slope = np.stack(
        [heat[maps, y, right] - heat[maps, y, left], heat[maps, below, x] - heat[maps, above, x]], 1
    )
    peaks = np.stack([x, y], 1) + 0.5 + 0.25 * np.sign(slope) * inside[:, None]
    return np.asarray(peaks, np.float64)


def _load_network(weights: Path | None) -> Any:
    try:
        from face_alignment.models import FAN
    except ImportError as error:
        raise DependencyError(
            f"FaceAlignmentDetector needs the package {error.name!r}, which is not installed; "
            "pip install face-alignment==1.5.0"
        ) from error
    path = weights if weights is not None else _cached_weights()
    if not path.is_file():
        raise WeightsError(
            f"the face-alignment weights {path} are not there; get {WEIGHTS_FILE} from the authors "
            "of face-alignment and put it there, or name it: FaceAlignmentDetector(weights=...)"
        )
    network = FAN(_MODULES)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path} does not hold the weights of a 2D-FAN-4 network ({error})"
        ) from error
    return network.eval()


def _cached_weights() -> Path:
    return Path(torch.hub.get_dir()).expanduser() / "checkpoints" / os.fspath(WEIGHTS_FILE)
