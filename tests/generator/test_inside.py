"""What a photo shows between the lips: it moves with skull and jaw, and is not painted over."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from avatar.generator import Generator
from avatar.generator.inside import Inside, gap_of, opening_edge
from avatar.generator.painting import Painting
from avatar.generator.parts import MOUTH, Placement
from avatar.generator.warping import INNER_LIPS
from avatar.ops import signed_distance

SIZE = 192
LIP, UPPER_TEETH, DARK, LOWER_TEETH = 0.3, 0.9, -0.9, 0.6


def mouth(gap: float, middle: float = 0.0) -> Tensor:
    """Lips ``[1, 20, 2]``, the upper one of which lies at ``middle`` - 0.1."""
    across = torch.linspace(-0.4, 0.4, 11)
    height = (1.0 - (across / 0.4).square()).sqrt().clamp(min=0.0)
    upper = torch.stack([across, middle - 0.1 * height], 1)
    lower = torch.stack([across, middle + (gap - 0.1) * height], 1)
    return torch.cat([upper, lower[1:-1].flip(0)])[None]


def picture() -> Tensor:
    """``[1, 3, S, S]``: lips around upper teeth, a dark line at 0.0, and lower teeth."""
    row = torch.linspace(-1.0, 1.0, SIZE)
    shade = torch.full((SIZE,), LIP)
    shade[(row > -0.1) & (row < -0.02)] = UPPER_TEETH
    shade[(row >= -0.02) & (row <= 0.02)] = DARK
    shade[(row > 0.02) & (row < 0.1)] = LOWER_TEETH
    return shade.view(1, 1, -1, 1).repeat(1, 3, 1, SIZE)


def look(*lips: Tensor) -> Inside:
    photos = picture().repeat(len(lips), 1, 1, 1)
    return Inside.of(photos[None], torch.cat(lips)[None])


def inner(lips: Tensor) -> Tensor:
    return signed_distance(lips, SIZE // 2)[:, None]


def shade_at(picture: Tensor, row: float) -> float:
    """In the middle column."""
    return float(picture[0, 0, round((row + 1.0) * (SIZE - 1) / 2), SIZE // 2])


def test_upper_teeth_stay_lower_teeth_go_with_the_jaw_and_between_is_dark() -> None:
    inside, opened = look(mouth(0.2)), mouth(0.5)
    assert float(inside.parting[0, SIZE // 2]) == pytest.approx(0.0, abs=0.02)
    shown, kept = inside.lay(torch.zeros(1, 3, SIZE, SIZE), inner(opened), opened)
    for row, shade, there in (
        (-0.06, UPPER_TEETH, 1.0),
        (0.1, DARK, 0.0),
        (0.25, DARK, 0.0),
        (0.36, LOWER_TEETH, 1.0),
    ):
        assert shade_at(shown, row) == pytest.approx(shade, abs=0.05)
        assert shade_at(kept, row) == pytest.approx(there, abs=0.05)
    assert shade_at(shown, -0.3) == shade_at(kept, -0.3) == 0.0


def test_a_mouth_that_closes_hides_teeth_and_squeezes_none() -> None:
    inside, narrow = look(mouth(0.3)), mouth(0.17)
    shown, _ = inside.lay(torch.zeros(1, 3, SIZE, SIZE), inner(narrow), narrow)
    assert shade_at(shown, -0.06) == pytest.approx(UPPER_TEETH, abs=0.05)


def test_teeth_follow_the_corners_of_a_head_that_turns() -> None:
    inside, turned = look(mouth(0.3)), mouth(0.4)
    turned[..., 0] += 0.1
    still, _, _ = inside.places(mouth(0.4))
    moved, _, _ = inside.places(turned)
    middle = slice(SIZE // 2 - 10, SIZE // 2 + 10)
    across = (still - moved)[0, 0, SIZE // 2, middle]
    assert 0.03 < float(across.min()) <= float(across.max()) < 0.1


def test_what_the_lips_of_the_photo_hide_is_not_known() -> None:
    inside, wide = look(mouth(0.3)), mouth(0.3)
    wide[..., 0] *= 1.5
    wide[:, 1:10, 1] -= 0.2
    _, kept = inside.lay(torch.zeros(1, 3, SIZE, SIZE), inner(wide), wide)
    middle = round((0.05 + 1.0) * (SIZE - 1) / 2)
    beyond_the_corner = round((0.5 + 1.0) * (SIZE - 1) / 2)
    assert kept[0, 0, middle, beyond_the_corner] == 0.0
    assert shade_at(kept, -0.2) == 0.0
    assert shade_at(kept, -0.05) == 1.0


def test_nothing_lies_between_closed_lips() -> None:
    inside, opened = look(mouth(0.05)), mouth(0.5)
    assert inside.empty
    before = torch.rand(1, 3, SIZE, SIZE)
    shown, kept = inside.lay(before, inner(opened), opened)
    assert torch.equal(shown, before)
    assert not kept.any()


def test_a_mouth_as_open_as_in_the_photo_moves_with_its_lips_and_is_not_painted() -> None:
    inside = look(mouth(0.3))
    before, alike = torch.rand(1, 3, SIZE, SIZE), mouth(0.305)
    shown, kept = inside.lay(before, inner(alike), alike)
    assert torch.equal(shown, before)
    assert shade_at(kept, 0.1) == 1.0


def test_of_several_photos_the_widest_mouth_is_looked_into() -> None:
    inside, alike = look(mouth(0.02), mouth(0.4), mouth(0.1)), mouth(0.4)
    assert float(inside.gap[0]) == pytest.approx(float(gap_of(alike)[0]))
    # It is not the photo that is drawn, so its lips are not what moves, and half is painted over.
    shown, kept = inside.lay(torch.zeros(1, 3, SIZE, SIZE), inner(alike), alike)
    assert shade_at(shown, -0.06) == pytest.approx(UPPER_TEETH, abs=0.05)
    assert shade_at(kept, -0.06) == pytest.approx(0.5, abs=0.01)


def test_the_photo_that_is_drawn_comes_first_if_it_shows_its_inside() -> None:
    inside = look(mouth(0.2), mouth(0.4))
    assert float(inside.gap[0]) == pytest.approx(0.2, abs=0.01)
    assert float(inside.trust[0]) == 1.0


def test_a_box_of_the_square_shows_what_the_whole_shows() -> None:
    inside, opened = look(mouth(0.2)), mouth(0.45)
    before = torch.rand(1, 3, SIZE, SIZE)
    places, known, hidden = inside.places(opened)
    seen = torch.nn.functional.grid_sample(
        inside.patches, places.permute(0, 2, 3, 1), padding_mode="border", align_corners=True
    )
    edge = opening_edge(inner(opened)) * (1.0 - hidden)
    whole, everywhere = inside.mixed(before, seen, known, edge, opened)
    shown, kept = inside.lay(before, inner(opened), opened)
    torch.testing.assert_close(shown, whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept, everywhere, atol=1e-4, rtol=0)


def test_a_smile_keeps_its_teeth_as_the_mouth_opens(generator: Generator, collins: Any) -> None:
    inside = collins.portrait.inside
    assert inside is not None
    opened = collins.pose(jawOpen=0.5)
    target = torch.from_numpy(opened[None, :, :2].copy())
    lips = Placement.of(MOUTH, target).to_patch(target[:, INNER_LIPS])
    places, known, _ = inside.places(lips)
    # Teeth shown keep their rows of the square.
    rows = torch.linspace(-1.0, 1.0, SIZE).view(1, -1, 1)
    still = (places[:, 1] - rows).abs() < 1e-5
    between = (lips[:, 5, 1] < rows) & (rows < inside.parting[:, None])
    columns = slice(SIZE // 2 - 10, SIZE // 2 + 10)
    teeth = between.expand_as(still)[..., columns]
    assert still[..., columns][teeth].float().mean() > 0.8
    assert known[:, 0][..., columns][teeth].mean() > 0.9


def test_closed_lips_show_no_inside() -> None:
    assert look(mouth(0.05)).empty
    assert not look(mouth(0.2)).empty


def test_nothing_is_painted_over_teeth(generator: Generator, collins: Any) -> None:
    portrait, points = collins.portrait, collins.portrait.landmarks.points
    target = torch.from_numpy(points[None, :, :2].copy())
    painting = Painting.of((MOUTH,), portrait, target, portrait.nodes[0])
    assert painting is not None
    assert painting.kept is not None
    layer = painting.layers(torch.ones(1, 3, SIZE, SIZE))[0].paint
    kept = painting.kept[0, 0] == 1.0
    assert kept.sum() > 100
    own = (painting.told[0][0] + 1.0) * 127.5 * layer[3]
    assert (layer[:3] - own)[:, kept].abs().max() < 1.0
