"""A person's pictures as aligned faces: what personalisation learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.generator.episodes import CROP, CROP_EXTENT
from avatar.generator.portrait import near_copy
from avatar.generator.warping import INNER_LIPS, distance
from avatar.ops import warp
from avatar.types import Face, ImageArray

_BELOW_THE_EYES = 0.45
"""Where the middle of an aligned face lies below the eyes, in inter-ocular distances."""

_CHEEKS = (50, 101, 118, 205, 280, 330, 347, 425)
"""Landmarks on bare skin that speech hardly moves."""

_CHEEK_PIXELS = 6
"""Half the side of what is looked at around each."""

_MOST_GAIN = 1.6
"""By how much a colour is raised or lowered at most."""


@dataclass(frozen=True, eq=False)
class PersonFaces:
    """Aligned faces of one person; the first is the photo that is animated.

    Attributes:
        frames: ``[N, CROP, CROP, 3]`` uint8 RGB.
        landmarks: ``[N, 478, 2]`` float32 pixels of the aligned frame.
        mirror: ``[478]``; faces of one person are never mirrored, so each landmark is its own.
    """

    frames: Tensor
    landmarks: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, pictures: Sequence[tuple[ImageArray, Face]]) -> PersonFaces:
        """Align each picture by the outer eye corners."""
        aligned = [aligned_face(image, face) for image, face in pictures]
        frames, landmarks = zip(*aligned, strict=True)
        return cls(torch.stack(frames), torch.stack(landmarks), torch.arange(478))

    def with_more(self, more: PersonFaces) -> PersonFaces:
        """These, then more of the same person."""
        return PersonFaces(
            torch.cat([self.frames, more.frames]),
            torch.cat([self.landmarks, more.landmarks]),
            self.mirror,
        )

    def openness(self) -> Tensor:  # [N]
        """Height over width of the inner lips."""
        return mouth_openness(self.landmarks)

    def most_telling(self, most: int) -> PersonFaces:
        """At most ``most`` of them, spread from the most closed to the widest mouth."""
        order = self.openness().argsort()
        # Fewer than there are: no place comes twice.
        places = torch.linspace(0, len(order) - 1, min(most, len(order))).round().long()
        chosen = order[places]
        return PersonFaces(self.frames[chosen], self.landmarks[chosen], self.mirror)

    def in_the_light_of_the_first(self) -> PersonFaces:
        """The same with the cheeks of each in the colour of the first's.

        Photos of one person are taken under many lamps; what shall be learnt is the mouth.
        """
        skin = torch.stack(
            [_cheeks(f, p) for f, p in zip(self.frames, self.landmarks, strict=True)]
        )
        gain = (skin[:1] / skin).clamp(1 / _MOST_GAIN, _MOST_GAIN)
        lit = (self.frames * gain.view(-1, 1, 1, 3)).round().clamp(0, 255).to(torch.uint8)
        return PersonFaces(lit, self.landmarks, self.mirror)


def mouth_openness(landmarks: Tensor) -> Tensor:  # [N, 478, 2] -> [N]
    inner = landmarks[:, INNER_LIPS]
    return distance(inner[:, 15], inner[:, 5]) / distance(inner[:, 0], inner[:, 10])


def aligned_face(image: ImageArray, face: Face) -> tuple[Tensor, Tensor]:
    """The standard crop ``[CROP, CROP, 3]`` uint8 of a face, and its landmarks ``[478, 2]``."""
    points = torch.from_numpy(face.landmarks.points[:, :2])
    # Shrinking averages, so that a large photo does not shimmer.
    near, scale = near_copy(image, float(distance(points[33], points[263])))
    points = (points + 0.5) * scale - 0.5
    across = points[263] - points[33]
    down = torch.stack([-across[1], across[0]])
    centre = (points[33] + points[263]) / 2 + _BELOW_THE_EYES * down
    line = torch.linspace(-CROP_EXTENT, CROP_EXTENT, 2)
    corners = (
        centre.view(2, 1, 1)
        + line.view(1, 1, 2) * across.view(2, 1, 1)
        + line.view(1, 2, 1) * down.view(2, 1, 1)
    )
    crop = warp(near.float(), corners[None], (CROP, CROP))[0]
    offset = points - centre
    length = across.square().sum()
    local = torch.stack([offset @ across, offset @ down], 1) / length
    aligned = (local / CROP_EXTENT + 1.0) * ((CROP - 1) / 2)
    return crop.permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).contiguous(), aligned


def _cheeks(frame: Tensor, landmarks: Tensor) -> Tensor:  # [CROP, CROP, 3] -> [3]
    """The median colour of the cheeks."""
    reach = torch.arange(-_CHEEK_PIXELS, _CHEEK_PIXELS + 1)
    middle = landmarks[list(_CHEEKS)].round().long()
    x = (middle[:, 0, None, None] + reach[None, None]).clamp(0, CROP - 1)
    y = (middle[:, 1, None, None] + reach[None, :, None]).clamp(0, CROP - 1)
    return frame[y, x].reshape(-1, 3).float().median(0).values.clamp_min(8.0)
