"""compose equals its specification, whatever the region, the layers or the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import Layer, compose
from avatar.ops._compose import Region, _forward, compose_reference


@pytest.fixture(autouse=True)
def _restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def photo_of(height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def still(region: Region, rows: int = 2, columns: int = 2) -> Tensor:
    """Positions that leave the region as it is."""
    left, top, right, bottom = region
    x = torch.linspace(left, right - 1, columns)
    y = torch.linspace(top, bottom - 1, rows)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def paint_of(size: int, generator: torch.Generator | None = None) -> Tensor:
    paint = torch.rand(4, size, size, generator=generator)
    paint[:3] = paint[:3] * 300 - 60
    return paint


def placed(x: float, y: float, scale: float = 1.0, turn: float = 0.0) -> Tensor:
    """The map to a paint whose corner lies at (x, y) of the picture."""
    linear = torch.tensor([[scale, -turn], [turn, scale]])
    return torch.cat([linear, linear @ torch.tensor([[-float(x)], [-float(y)]])], 1)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    height, width = draw(st.integers(0, 40)), draw(st.integers(0, 70))
    left, right = sorted((draw(st.integers(0, width)), draw(st.integers(0, width))))
    top, bottom = sorted((draw(st.integers(0, height)), draw(st.integers(0, height))))
    layers = st.tuples(
        st.sampled_from([0, 1, 2, 7, 32]),
        st.floats(-40, 80, width=32),
        st.floats(-40, 80, width=32),
        st.sampled_from([-1.3, 0.0, 0.11, 1.0, 2.7]),
        st.sampled_from([-0.6, 0.0, 0.3]),
    )
    return {
        "size": (height, width),
        "region": (left, top, right, bottom),
        "nodes": (draw(st.sampled_from([1, 2, 5, 40])), draw(st.sampled_from([1, 2, 9, 70]))),
        "layers": draw(st.lists(layers, max_size=3)),
        "threads": draw(st.sampled_from([1, 2, 3])),
        "seed": draw(st.integers(0, 10_000)),
    }


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_the_result_is_that_of_the_float64_reference(case: dict[str, object]) -> None:
    size, region, nodes, drawn = case["size"], case["region"], case["nodes"], case["layers"]
    assert isinstance(size, tuple)
    assert isinstance(region, tuple)
    assert isinstance(nodes, tuple)
    assert isinstance(drawn, list)
    generator = torch.Generator().manual_seed(int(str(case["seed"])))
    photo = photo_of(*size, generator)
    reach = torch.tensor([size[1] + 8.0, size[0] + 8.0])[:, None, None]
    positions = torch.rand(2, *nodes, generator=generator) * reach - 4
    layers = [
        Layer(paint_of(side, generator), placed(x, y, scale, turn))
        for side, x, y, scale, turn in drawn
    ]
    torch.set_num_threads(int(str(case["threads"])))
    before = photo.clone()
    found = compose(photo, positions, region, layers)
    assert torch.equal(photo, before)
    right = compose_reference(
        photo, positions.double(), region,
        [layer.paint.double() for layer in layers], [layer.to_paint.double() for layer in layers],
    )  # fmt: skip
    # Each rounding may send a half to the other side: one level, and one more for each layer.
    away = (found.int() - right.int()).abs()
    assert int(away.max() if away.numel() else 0) <= 1 + len(layers)
    assert int((away > 0).sum()) <= 2 + away.numel() // 50


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(1)
    photo, region = photo_of(90, 131, generator), (7, 5, 120, 83)
    positions = still(region, 9, 11) + torch.randn(2, 9, 11, generator=generator)
    layers = [Layer(paint_of(50, generator), placed(30, 20, 0.8, 0.1))]
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(compose(photo, positions, region, layers))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_other_layouts_give_the_same() -> None:
    generator = torch.Generator().manual_seed(2)
    photo, region = photo_of(30, 40, generator), (3, 2, 37, 29)
    positions, paint = still(region, 4, 5) + 0.3, paint_of(16, generator)
    right = compose(photo, positions, region, [Layer(paint, placed(8, 8))])
    planes = photo.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    wide = torch.cat([photo, photo], 1)[:, :40]
    other = Layer(paint.permute(1, 2, 0).contiguous().permute(2, 0, 1), placed(8, 8).T.clone().T)
    for other_photo in (planes, wide):
        found = compose(other_photo, positions.mT.contiguous().mT, region, [other])
        assert found.is_contiguous()
        assert torch.equal(found, right)


def test_without_motion_and_layers_it_is_a_copy() -> None:
    photo = photo_of(20, 33)
    for region in ((0, 0, 33, 20), (5, 6, 20, 9), (5, 5, 5, 9), (33, 20, 33, 20)):
        found = compose(photo, still(region), region)
        assert torch.equal(found, photo)
        assert found.data_ptr() != photo.data_ptr()
    nowhere = torch.zeros(2, 0, 0)
    assert torch.equal(compose(photo, nowhere, (5, 5, 5, 9)), photo)


def test_a_layer_gives_up_its_share_and_adds_its_colour() -> None:
    photo, region = torch.full((12, 12, 3), 200, dtype=torch.uint8), (0, 0, 12, 12)
    paint = torch.zeros(4, 4, 4)
    paint[0], paint[3] = 30.0, 0.5
    found = compose(photo, still(region), region, [Layer(paint, placed(4, 4))])
    assert found[5, 5].tolist() == [130, 100, 100]
    assert found[2, 2].tolist() == [200, 200, 200]


def test_nothing_is_painted_outside_the_region() -> None:
    photo, region = photo_of(20, 20), (5, 5, 15, 15)
    paint = torch.ones(4, 40, 40)
    changed = compose(photo, still(region), region, [Layer(paint, placed(-10, -10))]) != photo
    changed[5:15, 5:15] = False
    assert not bool(changed.any())


def test_nan_is_black_where_it_is_seen_and_nowhere_else() -> None:
    photo, region = torch.full((10, 10, 3), 9, dtype=torch.uint8), (0, 0, 10, 10)
    positions = still(region, 10, 10)
    positions[0, 3, 4] = torch.nan
    lost = (compose(photo, positions, region) == 0).all(-1)
    assert lost.nonzero().tolist() == [[3, 4]]
    paint = torch.zeros(4, 4, 4)
    paint[1, 1, 1] = torch.nan
    spoiled = compose(photo, still(region), region, [Layer(paint, placed(2.5, 2.5))])
    assert {tuple(place) for place in (spoiled == 0).nonzero().tolist()} == {
        (row, column, 1) for row in (3, 4) for column in (3, 4)
    }
    for bad in (torch.full((2, 3), torch.nan), torch.tensor([[1.0, 0, 0], [0, torch.nan, 0]])):
        assert not bool(compose(photo, still(region), region, [Layer(paint, bad)]).any())


def test_maps_to_anywhere_are_harmless() -> None:
    photo, region = photo_of(10, 10), (0, 0, 10, 10)
    for size in (-3e38, -1e20, 1e20, 3e38):
        for column in range(3):
            far = torch.zeros(2, 3)
            far[:, column] = size
            layer = Layer(torch.ones(4, 4, 4), far)
            compose(photo, still(region), region, [layer])
    beyond = Layer(torch.ones(4, 4, 4), torch.tensor([[1.0, 0, 1e20], [0, 1.0, 0]]))
    assert torch.equal(compose(photo, still(region), region, [beyond]), photo)


def test_the_operator_keeps_the_rules_of_torch() -> None:
    region = [2, 1, 18, 9]
    positions = still((2, 1, 18, 9), 3, 4)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for paints, maps in (([], []), ([paint_of(8)], [placed(4, 2)])):
        arguments = (photo_of(12, 20), positions, region, paints, maps)
        torch.library.opcheck(_forward, arguments, test_utils=tests)


def test_it_is_traced_as_one_operation() -> None:
    def drawn(photo: Tensor, positions: Tensor, paint: Tensor, to_paint: Tensor) -> Tensor:
        layer = Layer(paint * 2.0, to_paint)
        return compose(photo, positions + 0.25, (2, 1, 18, 9), [layer]).flip(1)

    given_tensors = photo_of(12, 20), still((2, 1, 18, 9)), paint_of(8), placed(4, 2)
    compiled = torch.compile(drawn, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*given_tensors), drawn(*given_tensors))


@pytest.mark.parametrize(
    ("photo", "positions", "region", "layer", "message"),
    [
        (torch.zeros(4, 4, 3), torch.zeros(2, 2, 2), (0, 0, 4, 4), None, "photo must be"),
        (photo_of(4, 4)[..., :2], torch.zeros(2, 2, 2), (0, 0, 4, 4), None, "photo must be"),
        (photo_of(4, 4), torch.zeros(2, 2), (0, 0, 4, 4), None, "positions must be"),
        (photo_of(4, 4), torch.zeros(2, 2, 2).double(), (0, 0, 4, 4), None, "positions must be"),
        (photo_of(4, 4), torch.zeros(2, 2, 2), (0, 0, 5, 4), None, "region"),
        (photo_of(4, 4), torch.zeros(2, 2, 2), (3, 0, 2, 4), None, "region"),
        (photo_of(4, 4), torch.zeros(2, 0, 2), (0, 0, 4, 4), None, "no node"),
        (
            photo_of(4, 4), torch.zeros(2, 2, 2), (0, 0, 4, 4),
            Layer(torch.zeros(3, 4, 4), placed(0, 0)), "paint must be",
        ),
        (
            photo_of(4, 4), torch.zeros(2, 2, 2), (0, 0, 4, 4),
            Layer(torch.zeros(4, 4, 4), torch.zeros(3, 3)), "to_paint must be",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    photo: Tensor, positions: Tensor, region: Region, layer: Layer | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compose(photo, positions, region, [] if layer is None else [layer])
