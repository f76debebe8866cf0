"""What is public, frozen: a change here is a change for every user and needs a decision record."""

from __future__ import annotations

import inspect
import typing

import pytest

import avatar
from avatar import errors

PUBLIC = [
    "Audio", "Avatar", "AvatarError", "Clip", "Frame", "Identity", "Landmarks", "Motion",
    "Session", "Style", "__version__", "load_audio", "load_image",
]  # fmt: skip


def test_the_public_names() -> None:
    assert sorted(avatar.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(avatar))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_every_public_name_exists_and_says_what_it_does(name: str) -> None:
    thing = getattr(avatar, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        for label, member in inspect.getmembers(thing):
            if callable(member) and not label.startswith("_") and hasattr(member, "__module__"):
                assert inspect.getdoc(member), f"{name}.{label} has no docstring"


def test_public_calls_are_typed() -> None:
    for call in (avatar.load_image, avatar.load_audio, avatar.Avatar.from_image):
        hints = typing.get_type_hints(call)
        assert "return" in hints


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'avtar'"):
        avatar.avtar  # noqa: B018


def _errors() -> list[type[errors.AvatarError]]:
    kinds = (kind for _, kind in inspect.getmembers(errors, inspect.isclass))
    return [kind for kind in kinds if issubclass(kind, errors.AvatarError)]


def test_every_error_is_in_the_drawn_tree() -> None:
    drawing = errors.__doc__ or ""
    for kind in _errors():
        assert kind.__name__ in drawing


def test_exit_codes_are_distinct_and_statuses_are_grpcs() -> None:
    import grpc

    codes = [kind.exit_code for kind in _errors()]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 64 for code in codes)
    for kind in _errors():
        assert kind.grpc_status in grpc.StatusCode.__members__
