"""Which clips there are, who is in each, and what its shard is called.

Who is in a clip comes from the first of these that names it:

- ``clips.json`` in a folder above it: a list of ``{"file", "identity"}``, also ``"group"``;
- ``clips.csv`` in a folder above it: the same columns, with a header line;
- the first folder below the folder given: VoxCeleb's ``id10001/1zcIwhmdeo4/00001.mp4``;
- for clips that lie directly there, or are given by name, the file's name without a number at its
  end: HDTF's ``WDA_BarackObama_000.mp4``.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from avatar.errors import InputError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})
LIST_NAMES = ("clips.json", "clips.csv")


@dataclass(frozen=True)
class ClipSource:
    """One clip, who is in it, and the name of its track.

    Attributes:
        path: of the video.
        identity: the person.
        group: where it is from, for those who balance by it; the identity unless listed.
        name: unique among the clips of a run; names the shard.
    """

    path: Path
    identity: str
    group: str
    name: str


def find_clips(places: Iterable[Path]) -> list[ClipSource]:
    """The clips named, and all videos below the folders named, sorted by the name of their track.

    Raises:
        InputError: a place does not exist, there is no clip, two clips would share a track, or a
            list of clips is malformed.
    """
    found: dict[str, ClipSource] = {}
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such clip or folder")
        root = place.resolve()
        inside = (p for p in root.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        for path in inside if root.is_dir() else [root]:
            source = _describe(path.resolve(), root if root.is_dir() else root.parent)
            other = found.setdefault(source.name, source)
            if other.path != source.path:
                both = f"{source.path} and {other.path} would both become {source.name}.npz"
                raise InputError(f"{both}; rename one of them")
    if not found:
        raise InputError("no clips there; name video files or folders that hold them")
    return [found[name] for name in sorted(found)]


def _describe(path: Path, root: Path) -> ClipSource:
    for folder in path.parents:
        entry = _entries(folder).get(path)
        if entry is not None:
            identity, group = entry
            return ClipSource(path, identity, group, f"{group}__{path.stem}")
    within = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    name = "__".join((*within.parts[:-1], path.stem))
    identity = within.parts[0] if len(within.parts) > 1 else _without_number(path.stem)
    return ClipSource(path, identity, identity, name)


def _without_number(stem: str) -> str:
    return re.sub(r"[_\-. ]\d+$", "", stem)


@cache
def _entries(folder: Path) -> dict[Path, tuple[str, str]]:
    """(identity, group) by clip, of the list in ``folder``; empty where there is none."""
    for path in (folder / name for name in LIST_NAMES):
        if path.is_file():
            return _read_list(path)
    return {}


def _read_list(path: Path) -> dict[Path, tuple[str, str]]:
    try:
        entries: dict[Path, tuple[str, str]] = {}
        for entry in _rows(path):
            identity = str(entry["identity"])
            group = str(entry.get("group") or identity)
            entries[(path.parent / entry["file"]).resolve()] = identity, group
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = "a list of clips, each with file and identity"
        raise InputError(f"{path} must be {what} ({error!r})") from error
    return entries


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
