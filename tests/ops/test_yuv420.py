"""yuv420_ equals its specification to the bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.errors import InputError
from avatar.ops import yuv420_
from avatar.ops._yuv420 import _forward, yuv420_reference

FRAMES = ("planar", "padded rows", "interleaved", "columns apart", "chroma laid unlike")


@pytest.fixture(autouse=True)
def _restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def image_of(height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def planes_for(image: Tensor, frame: str = "planar") -> tuple[Tensor, Tensor, Tensor]:
    """y, u and v as a video frame may hold them, filled with 77."""
    h, w = (-(-side // 2) for side in image.shape[:2])

    def plane(rows: int, columns: int) -> Tensor:
        return torch.full((rows, columns), 77, dtype=torch.uint8)

    match frame:
        case "padded rows":
            return (
                plane(2 * h, 2 * w + 32)[:, : 2 * w],
                plane(h, w + 9)[:, :w],
                plane(h, w + 9)[:, :w],
            )
        case "interleaved":
            both = plane(h, 2 * w)
            return plane(2 * h, 2 * w), both[:, ::2], both[:, 1::2]
        case "columns apart":
            return plane(2 * h, 4 * w)[:, ::2], plane(h, w), plane(h, w)
        case "chroma laid unlike":
            return plane(2 * h, 2 * w), plane(h, w), plane(w, h).T
        case _:
            return plane(2 * h, 2 * w), plane(h, w), plane(h, w)


@settings(max_examples=120, deadline=None)
@given(
    height=st.integers(0, 40),
    width=st.sampled_from([0, 1, 2, 3, 17, 127, 128, 129, 130, 255, 300]),
    frame=st.sampled_from(FRAMES),
    turned=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 10_000),
)
def test_every_bit_is_that_of_the_reference(
    height: int, width: int, frame: str, turned: bool, threads: int, seed: int
) -> None:
    image = image_of(height, width, torch.Generator().manual_seed(seed))
    if turned:
        image = image.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.set_num_threads(threads)
    planes = planes_for(image, frame)
    yuv420_(*planes, image)
    for found, right in zip(planes, yuv420_reference(image), strict=True):
        assert torch.equal(found, right)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    image = image_of(301, 403)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(planes_for(image))
        yuv420_(*found[-1], image)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_known_colours_have_their_known_codes() -> None:
    """75 % bars of BT.709 would be computed; these are its corner stones."""
    codes = {
        (0, 0, 0): (16, 128, 128),
        (255, 255, 255): (235, 128, 128),
        (255, 0, 0): (63, 102, 240),
        (0, 255, 0): (173, 42, 26),
        (0, 0, 255): (32, 240, 118),
    }
    for colour, code in codes.items():
        image = torch.tensor(colour, dtype=torch.uint8).expand(2, 2, 3)
        planes = planes_for(image)
        yuv420_(*planes, image)
        assert tuple(int(plane[0, 0]) for plane in planes) == code


def test_what_lies_between_rows_is_not_touched() -> None:
    image = image_of(5, 7)
    y = torch.full((6, 20), 77, dtype=torch.uint8)
    u, v = (torch.full((3, 20), 77, dtype=torch.uint8) for _ in range(2))
    yuv420_(y[:, :8], u[:, :4], v[:, :4], image)
    assert bool((y[:, 8:] == 77).all())
    assert bool((u[:, 4:] == 77).all())
    assert bool((v[:, 4:] == 77).all())


def test_the_operator_keeps_the_rules_of_torch() -> None:
    image = image_of(6, 8)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    for frame in ("planar", "interleaved"):
        torch.library.opcheck(_forward, (*planes_for(image, frame), image), test_utils=tests)


def test_it_is_traced_as_one_operation() -> None:
    def coded(image: Tensor) -> Tensor:
        y, u, v = image.new_empty(6, 8), image.new_empty(3, 4), image.new_empty(3, 4)
        yuv420_(y, u, v, image.flip(0))
        return torch.cat([y.flatten(), u.flatten(), v.flatten()])

    image = image_of(6, 8)
    compiled = torch.compile(coded, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image), coded(image))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("image", torch.zeros(6, 8, 4, dtype=torch.uint8)),
        ("image", torch.zeros(6, 8, 3)),
        ("y", torch.zeros(6, 7, dtype=torch.uint8)),
        ("u", torch.zeros(3, 4)),
        ("v", torch.zeros(2, 4, dtype=torch.uint8)),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, wrong: Tensor) -> None:
    image = image_of(6, 8)
    y, u, v = planes_for(image)
    given_tensors = {"y": y, "u": u, "v": v, "image": image, name: wrong}
    with pytest.raises(InputError, match=f"{name} must be"):
        yuv420_(**given_tensors)
