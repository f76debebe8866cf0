"""The avatars a server keeps: ``.avatar`` files in one folder, the last used ones in memory.

Several workers may share the folder. Everything here may take long and is called from threads.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.avatar import Avatar
from avatar.engine import Engine
from avatar.errors import AvatarError, OutputError
from avatar.face import FaceRig
from avatar.identity import Consent, Identity, Photo
from avatar.serving.errors import AvatarExistsError, UnknownAvatarError
from avatar.serving.log import log_fault
from avatar.serving.messages import check_avatar_id
from avatar.types import ARKIT_NAMES, Face, Landmarks

_SUFFIX = ".avatar"
_NEUTRAL_SIDE = 256
_NEUTRAL_SCALE = 90.0

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class AvatarEntry:
    """What is told of an avatar without loading its models."""

    avatar_id: str
    width: int
    height: int
    created: str
    consent: Consent


class AvatarLibrary:
    """Reads, makes and forgets avatars by name.

    Args:
        folder: where the files lie; made if it is not there.
        engine: the models.
        kept: avatars held ready in memory.

    Raises:
        OutputError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, engine: Engine, *, kept: int = 16) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            raise OutputError(f"{folder}: the folder of avatars: {reason.strerror}") from None
        self._folder = folder
        self._engine = engine
        self._kept = kept
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._avatars: OrderedDict[str, tuple[_Stamp, Avatar]] = OrderedDict()
        self._entries: dict[str, tuple[_Stamp, AvatarEntry]] = {}
        self._neutral: Avatar | None = None

    def get(self, avatar_id: str) -> Avatar:
        """The avatar of that name, ready to speak.

        Raises:
            UnknownAvatarError: there is none.
            AvatarFileError: its file is damaged.
        """
        path = self._path(avatar_id)
        with self._lock:
            loading = self._loading.setdefault(avatar_id, threading.Lock())
        with loading:
            stamp = self._stamp(path)
            with self._lock:
                found = self._avatars.get(avatar_id)
                if found is not None and found[0] == stamp:
                    self._avatars.move_to_end(avatar_id)
                    return found[1]
            avatar = Avatar.load(path, engine=self._engine)
            self._keep(avatar_id, stamp, avatar)
            return avatar

    def neutral(self) -> Avatar:
        """The mean face of the rig, for sessions that need nobody's pixels."""
        with self._lock:
            if self._neutral is None:
                self._neutral = neutral_avatar(self._engine)
            return self._neutral

    def create(
        self, image: bytes, *, avatar_id: str = "", consent: Consent, face: int | None = None
    ) -> AvatarEntry:
        """Make an avatar of an image file and keep it.

        Raises:
            AvatarExistsError: the name is taken.
            ImageError, FaceError: the image cannot become an avatar.
            OutputError: it cannot be written.
        """
        avatar_id = avatar_id or f"avatar-{secrets.token_hex(6)}"
        path = self._path(avatar_id)
        if path.exists():
            raise _taken(avatar_id)
        avatar = Avatar.from_image(image, face=face, consent=consent, engine=self._engine)
        _write_new(path, avatar.identity.to_bytes(), avatar_id)
        self._keep(avatar_id, self._stamp(path), avatar)
        return self.entry(avatar_id)

    def delete(self, avatar_id: str) -> None:
        """Forget an avatar; who uses it goes on.

        Raises:
            UnknownAvatarError: there is none.
        """
        try:
            self._path(avatar_id).unlink()
        except FileNotFoundError:
            raise _unknown(avatar_id) from None
        with self._lock:
            self._avatars.pop(avatar_id, None)
            self._entries.pop(avatar_id, None)
            self._loading.pop(avatar_id, None)

    def list(self, *, after: str = "", count: int) -> tuple[list[AvatarEntry], bool]:
        """Up to ``count`` avatars whose names follow ``after``, and whether there are more.

        A file that cannot be read is left out.
        """
        names = sorted(
            path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"[!.]*{_SUFFIX}")
        )
        names = [name for name in names if name > after]
        entries = []
        for name in names[:count]:
            try:
                entries.append(self.entry(name))
            except UnknownAvatarError:
                continue  # deleted meanwhile
            except AvatarError:
                log_fault("avatar file cannot be read")
        return entries, len(names) > count

    def entry(self, avatar_id: str) -> AvatarEntry:
        """What is told of one avatar.

        Raises:
            UnknownAvatarError: there is none.
            AvatarFileError: its file is damaged.
        """
        path = self._path(avatar_id)
        stamp = self._stamp(path)
        with self._lock:
            found = self._entries.get(avatar_id)
        if found is not None and found[0] == stamp:
            return found[1]
        identity = Identity.load(path)
        height, width = identity.photos[0].image.shape[:2]
        entry = AvatarEntry(avatar_id, width, height, identity.created, identity.consent)
        with self._lock:
            self._entries[avatar_id] = (stamp, entry)
        return entry

    def _path(self, avatar_id: str) -> Path:
        return self._folder / f"{check_avatar_id(avatar_id)}{_SUFFIX}"

    def _stamp(self, path: Path) -> _Stamp:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise _unknown(path.name.removesuffix(_SUFFIX)) from None
        return status.st_mtime_ns, status.st_size

    def _keep(self, avatar_id: str, stamp: _Stamp, avatar: Avatar) -> None:
        with self._lock:
            self._avatars[avatar_id] = (stamp, avatar)
            self._avatars.move_to_end(avatar_id)
            while len(self._avatars) > self._kept:
                forgotten, _ = self._avatars.popitem(last=False)
                self._loading.pop(forgotten, None)


def neutral_avatar(engine: Engine) -> Avatar:
    """The mean face of the rig without a photo: it can move, but not be drawn."""
    middle = np.float32(_NEUTRAL_SIDE / 2)
    points = (FaceRig.load().mean * np.float32(_NEUTRAL_SCALE)).astype(np.float32)
    points[:, :2] += middle
    face = Face(Landmarks(points), np.zeros(len(ARKIT_NAMES), np.float32))
    blank = np.full((_NEUTRAL_SIDE, _NEUTRAL_SIDE, 3), 127, np.uint8)
    return Avatar(Identity((Photo.of(blank, face),)), engine=engine)


def _write_new(path: Path, data: bytes, avatar_id: str) -> None:
    """Write a file that must not be there yet; it appears complete or not at all."""
    hidden = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        hidden.write_bytes(data)
        os.link(hidden, path)
    except FileExistsError:
        raise _taken(avatar_id) from None
    except OSError as reason:
        raise OutputError(f"avatar {avatar_id!r} cannot be kept: {reason.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


def _taken(avatar_id: str) -> AvatarExistsError:
    return AvatarExistsError(f"there is an avatar {avatar_id!r} already; delete it first")


def _unknown(avatar_id: str) -> UnknownAvatarError:
    return UnknownAvatarError(f"there is no avatar {avatar_id!r}; ListAvatars names all")
