"""One person, as photos and the faces measured in them, in one ``*.avatar`` file.

The file is a safetensors container (nothing in it is ever executed):

- metadata ``avatar``: a JSON header with ``format`` (a whole number), package and model versions,
  ``consent``, ``created``, and for each photo its size and the sha256 of its source;
- ``photo.<k>``: uint8 bytes of a PNG, or of the JPEG the photo came from, without its EXIF and
  other private data;
- ``landmarks.<k>`` ``[478, 3]`` and ``expression.<k>`` ``[52]`` float32, as measured;
- ``content_sha256`` in the header covers all of these.

Only what was measured is stored. What the generator derives from it is made again at load, which
takes a fraction of a second and keeps a file valid when the networks improve. The one exception is
what took minutes to learn: a personalised avatar also has, and any other leaves out,

- ``delta.<name>`` float16: what the person changes in the decoders (``generator.Deltas``), and
  ``personal`` in the header: for which weights, from how many pictures, and the scores.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import avatar
from avatar.config import from_mapping
from avatar.errors import AvatarFileError, ConfigError, ImageError, OutputError
from avatar.generator import Deltas
from avatar.media import load_image
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, Face, ImageArray, Landmarks

FORMAT = 1
"""Version of the file format; every lower one can be read."""

SUFFIX = ".avatar"

_HEADER = "avatar"
_DELTA = "delta."

MOST_DELTA_BYTES = 2 * 2**20
"""A personalised avatar's file grows by at most this."""


@dataclass(frozen=True)
class Consent:
    """What the maker of an avatar says about the permission of the person shown.

    Attributes:
        attested: whether someone attests that the person agreed, or that none is needed.
        attested_by: who attests it.
        note: anything that helps to check it later.
    """

    attested: bool = False
    attested_by: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.attested, bool):
            raise ConfigError(f"consent.attested must be true or false, got {self.attested!r}")
        if self.attested and not self.attested_by:
            raise ConfigError("consent.attested needs attested_by: who says so")


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture of the person.

    Attributes:
        image: ``[H, W, 3]`` uint8 RGB.
        face: the face in it.
        source_sha256: of the file it came from, or of the pixels where it came from none.
        jpeg: the bytes of that file without private data, where it was a JPEG that gives exactly
            these pixels.
    """

    image: ImageArray
    face: Face
    source_sha256: str
    jpeg: bytes | None = None

    @classmethod
    def of(cls, image: ImageArray, face: Face, source: bytes | None = None) -> Photo:
        """Keep ``image``; ``source`` is the file it was read from, where there was one."""
        if source is None:
            digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            return cls(image, face, digest)
        return cls(image, face, hashlib.sha256(source).hexdigest(), _plain_jpeg(source, image))

    def encoded(self) -> bytes:
        """The pixels, without loss."""
        if self.jpeg is not None:
            return self.jpeg
        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Identity:
    """All that is kept of one person.

    Attributes:
        photos: at least one; the first is the one that is animated.
        consent: what was said about the person's permission.
        created: when, in UTC, as ISO 8601.
        models: the package and models that measured it, by name.
        deltas: what the person changes in the decoders; None unless personalised.
    """

    photos: tuple[Photo, ...]
    consent: Consent = Consent()
    created: str = dataclasses.field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    models: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deltas: Deltas | None = None

    @property
    def landmarks(self) -> Landmarks:
        """Of the face in the first photo."""
        return self.photos[0].face.landmarks

    def to_bytes(self) -> bytes:
        """The content of an ``.avatar`` file."""
        tensors: dict[str, NDArray[Any]] = {}
        for k, photo in enumerate(self.photos):
            tensors[f"photo.{k}"] = np.frombuffer(photo.encoded(), np.uint8)
            tensors[f"landmarks.{k}"] = np.ascontiguousarray(photo.face.landmarks.points)
            tensors[f"expression.{k}"] = np.ascontiguousarray(photo.face.expression)
        if self.deltas is not None:
            for name, change in self.deltas.tensors.items():
                tensors[_DELTA + name] = np.ascontiguousarray(change.numpy())
        header = {
            "format": FORMAT,
            "package": avatar.__version__,
            "models": dict(self.models),
            "created": self.created,
            "consent": dataclasses.asdict(self.consent),
            "photos": [
                {
                    "height": photo.image.shape[0],
                    "width": photo.image.shape[1],
                    "source_sha256": photo.source_sha256,
                }
                for photo in self.photos
            ],
            "content_sha256": _digest(tensors),
        }
        if self.deltas is not None:
            header["personal"] = {
                "weights_sha256": self.deltas.weights_sha256,
                "pictures": self.deltas.pictures,
                "steps": self.deltas.steps,
                "score_before": self.deltas.score_before,
                "score_after": self.deltas.score_after,
            }
        return save_tensors(tensors, {_HEADER: json.dumps(header, sort_keys=True)})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, under a temporary name first: it is there whole or not at all.

        Raises:
            OutputError: the name does not end in ``.avatar``; no permission, no space, no such
                folder.
        """
        check_path(path)
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(self.to_bytes())
            temporary.replace(target)
        except OSError as error:
            raise OutputError(
                f"{target}: cannot be written ({error.strerror}); choose a folder that exists, "
                "has space, and may be written to"
            ) from error
        finally:
            _remove(temporary)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Identity:
        """Read a file that ``save`` wrote, in this or an earlier version.

        Raises:
            AvatarFileError: not an avatar file, damaged, or written by a newer version.
        """
        name = os.fspath(path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise AvatarFileError(
                f"{name}: cannot be read ({error.strerror}); check the path"
            ) from error
        return cls.from_bytes(data, name=name)

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "avatar file") -> Identity:
        """As ``load``, from the content of a file; ``name`` is used in messages."""
        header = _read_header(data, name)
        try:
            tensors = load_tensors(data)
            if _digest(tensors) != header["content_sha256"]:
                raise _damaged(name, "its content does not match its checksum")
            photos = tuple(
                _read_photo(tensors, k, entry, name) for k, entry in enumerate(header["photos"])
            )
            if not photos:
                raise _damaged(name, "it holds no photo")
            return cls(
                photos=photos,
                consent=from_mapping(Consent, header["consent"]),
                created=str(header["created"]),
                models=dict(header["models"]),
                deltas=_read_deltas(tensors, header.get("personal"), name),
            )
        except AvatarFileError:
            raise
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(name, str(error)) from error


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse where no ``.avatar`` file could be written, before one is made.

    Raises:
        OutputError: as ``Identity.save``.
    """
    name, target = os.fspath(path), Path(path)
    if target.suffix.lower() != SUFFIX:
        raise OutputError(f"{name!r}: an avatar file ends in {SUFFIX}; choose such a name")
    if not target.parent.is_dir():
        raise OutputError(f"{name}: there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise OutputError(f"{name}: is a folder; choose another name")


def _read_header(data: bytes, name: str) -> dict[str, Any]:
    """The JSON header; safetensors begins with the length of its own header, 8 bytes."""
    try:
        length = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + length])["__metadata__"][_HEADER]
        header = json.loads(text)
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AvatarFileError(
            f"{name}: not an .avatar file, or a damaged one; make it with Avatar.save or "
            "`avatar create`"
        ) from error
    if not isinstance(version, int) or version < 1:
        raise _damaged(name, f"its format is {version!r}")
    if version > FORMAT:
        raise AvatarFileError(
            f"{name}: made by a newer version of this package (file format {version}, this one "
            f"reads up to {FORMAT}); upgrade the package"
        )
    return header  # type: ignore[no-any-return]


def _read_photo(
    tensors: Mapping[str, NDArray[Any]], k: int, entry: Mapping[str, Any], name: str
) -> Photo:
    encoded = tensors[f"photo.{k}"].tobytes()
    landmarks, expression = tensors[f"landmarks.{k}"], tensors[f"expression.{k}"]
    shapes = (landmarks.shape, expression.shape)
    if shapes != ((LANDMARK_COUNT, 3), (len(ARKIT_NAMES),)):
        raise _damaged(name, f"landmarks and expression of photo {k} have the shapes {shapes}")
    if not (np.isfinite(landmarks).all() and np.isfinite(expression).all()):
        raise _damaged(name, f"landmarks or expression of photo {k} are not finite")
    try:
        image = load_image(encoded)
    except ImageError as error:
        raise _damaged(name, f"photo {k} cannot be read: {error}") from error
    if image.shape != (entry["height"], entry["width"], 3):
        raise _damaged(name, f"photo {k} has the shape {list(image.shape)}")
    face = Face(Landmarks(landmarks.astype(np.float32)), expression.astype(np.float32))
    jpeg = encoded if encoded.startswith(b"\xff\xd8") else None
    return Photo(image, face, str(entry["source_sha256"]), jpeg)


def _read_deltas(
    tensors: Mapping[str, NDArray[Any]], entry: Mapping[str, Any] | None, name: str
) -> Deltas | None:
    if entry is None:
        return None
    changes = {k.removeprefix(_DELTA): v for k, v in tensors.items() if k.startswith(_DELTA)}
    if sum(change.nbytes for change in changes.values()) > MOST_DELTA_BYTES:
        raise _damaged(name, "its changes of the decoders are too large")
    for key, change in changes.items():
        if change.dtype != np.float16 or not np.isfinite(change).all():
            raise _damaged(name, f"{key} is not finite float16")
    return Deltas(
        {key: torch.from_numpy(change) for key, change in changes.items()},
        str(entry["weights_sha256"]), pictures=int(entry["pictures"]), steps=int(entry["steps"]),
        score_before=float(entry["score_before"]), score_after=float(entry["score_after"]),
    )  # fmt: skip


def _damaged(name: str, reason: str) -> AvatarFileError:
    return AvatarFileError(f"{name}: damaged avatar file ({reason}); restore it or make it again")


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """One sha256 over names, types, shapes and values."""
    total = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key]
        total.update(f"{key} {value.dtype.str} {value.shape}\n".encode())
        total.update(value.tobytes())
    return total.hexdigest()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # It could not even be made; the error that says so is on its way.
        return


def _plain_jpeg(source: bytes, image: ImageArray) -> bytes | None:
    """``source`` without private data, if it is a JPEG and still gives ``image``."""
    if not source.startswith(b"\xff\xd8"):
        return None
    plain = _without_private_segments(source)
    try:
        same = plain is not None and np.array_equal(load_image(plain), image)
    except ImageError:
        return None
    return plain if same else None


def _without_private_segments(source: bytes) -> bytes | None:
    """Keep what decoding needs: tables, scans, JFIF, the colour profile and Adobe's transform."""
    kept = [source[:2]]
    at = 2
    while at + 4 <= len(source) and source[at] == 0xFF:
        marker = source[at + 1]
        end = at + 2 + int.from_bytes(source[at + 2 : at + 4], "big")
        if marker == 0xDA:
            finish = source.find(b"\xff\xd9", end)
            return None if finish < 0 else b"".join(kept) + source[at : finish + 2]
        segment = source[at:end]
        private = marker == 0xFE or 0xE1 <= marker <= 0xEF
        if not private or marker == 0xEE or segment[4:16] == b"ICC_PROFILE\0":
            kept.append(segment)
        at = end
    return None
