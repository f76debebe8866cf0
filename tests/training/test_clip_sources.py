"""Who is in a clip, and what its shard is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatar.errors import InputError
from avatar.training.clip_sources import find_clips


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def described(*places: Path) -> dict[str, tuple[str, str]]:
    return {one.name: (one.identity, one.group) for one in find_clips(places)}


def test_folders_of_people_tell_who_speaks(tmp_path: Path) -> None:
    touch(tmp_path, "id10001/1zcIwhmdeo4/00001.mp4", "id10001/7gWzIy6yIIk/00001.mp4",
          "id10002/xTV-jFAUKcw/00001.mp4", "id10002/notes.txt")  # fmt: skip
    assert described(tmp_path) == {
        "id10001__1zcIwhmdeo4__00001": ("id10001", "id10001"),
        "id10001__7gWzIy6yIIk__00001": ("id10001", "id10001"),
        "id10002__xTV-jFAUKcw__00001": ("id10002", "id10002"),
    }


def test_a_flat_folder_tells_it_by_the_names_before_the_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "WDA_BarackObama_000.mp4", "WDA_BarackObama_001.mp4", "RD_Radio1_000.MP4")
    assert {name: who for name, (who, _) in described(tmp_path).items()} == {
        "RD_Radio1_000": "RD_Radio1",
        "WDA_BarackObama_000": "WDA_BarackObama",
        "WDA_BarackObama_001": "WDA_BarackObama",
    }


def test_a_list_in_a_folder_above_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4", "a/y.mp4", "b/z.mp4")
    entries = [{"file": "a/x.mp4", "identity": "Ada", "group": "films", "side": 288}]
    (tmp_path / "clips.json").write_text(json.dumps(entries))
    (tmp_path / "b" / "clips.csv").write_text("file,identity\nz.mp4,Zoë\n", encoding="utf-8")
    assert described(tmp_path) == {
        "films__x": ("Ada", "films"), "a__y": ("a", "a"), "Zoë__z": ("Zoë", "Zoë"),
    }  # fmt: skip
    assert described(tmp_path / "a" / "x.mp4") == {"films__x": ("Ada", "films")}


def test_a_clip_named_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4")
    assert len(find_clips([tmp_path, tmp_path])) == 1


def test_places_that_hold_no_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such clip"):
        find_clips([tmp_path / "missing.mp4"])
    with pytest.raises(InputError, match="no clips"):
        find_clips([tmp_path])


def test_clips_that_would_overwrite_each_other_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "first/same/x.mp4", "second/same/x.mp4")
    with pytest.raises(InputError, match=r"same__x\.npz"):
        find_clips([tmp_path / "first", tmp_path / "second"])


@pytest.mark.parametrize(
    ("name", "text"),
    [("clips.json", "{"), ("clips.json", "[3]"), ("clips.json", '[{"file": "x.mp4"}]'),
     ("clips.csv", "file,who\nx.mp4,Ada\n")],
)  # fmt: skip
def test_a_wrong_list_of_clips_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    touch(tmp_path, "x.mp4")
    with pytest.raises(InputError, match=f"{name} must be a list"):
        find_clips([tmp_path / "x.mp4"])
