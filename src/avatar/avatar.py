"""The task call: a photo and a voice become a clip or a live session."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from avatar.clip import Clip, performed, readable_again, spoken
from avatar.config import SAMPLE_RATE, SessionConfig, from_mapping
from avatar.engine import Engine
from avatar.errors import ImageError
from avatar.generator import Portrait
from avatar.identity import Consent, Identity, Photo
from avatar.media import AudioSource, ImageSource, load_image
from avatar.motion import (
    NEUTRAL,
    DriverSource,
    Style,
    follow,
    read_driver,
    resampled,
    within_reach,
)
from avatar.session import Likeness, Session, scaled
from avatar.types import Face, Motion

_KEPT_SIZES = 4
"""Of how many sizes an avatar keeps what its sessions share."""


class Avatar:
    """A person who can speak: an ``Identity`` and the models that move it.

    Make one with ``from_image``, ``from_images`` or ``load``.

    Example:
        >>> avatar = Avatar.from_image("portrait.jpg")  # doctest: +SKIP
        >>> avatar.speak("hello.wav").save("hello.mp4")  # doctest: +SKIP
    """

    def __init__(self, identity: Identity, *, engine: Engine | None = None) -> None:
        self.identity = identity
        self.engine = Engine.default() if engine is None else engine
        self._preparing = threading.Lock()
        self._portrait: Portrait | None = None
        self._likenesses: OrderedDict[tuple[int | None, bool], Likeness] = OrderedDict()

    @classmethod
    def from_image(
        cls,
        image: ImageSource,
        *,
        face: int | None = None,
        engine: Engine | None = None,
        consent: Consent | Mapping[str, Any] | None = None,
    ) -> Avatar:
        """An avatar of the person in one photo, painting or drawing.

        Args:
            image: path, bytes, binary file, PIL image or array (``load_image``).
            face: which face to take where there are several, 0 for the largest. Without it the
                largest is taken, with a warning.
            engine: the models; those of this process by default.
            consent: what is known of the person's permission, kept in the saved file:
                ``attested``, ``attested_by``, ``note``.

        Raises:
            ImageError: the image cannot be read.
            FaceError: it shows no usable face.
        """
        return cls.from_images([image], face=face, engine=engine, consent=consent)

    @classmethod
    def from_images(
        cls,
        images: Sequence[ImageSource],
        *,
        face: int | None = None,
        engine: Engine | None = None,
        consent: Consent | Mapping[str, Any] | None = None,
    ) -> Avatar:
        """An avatar from several photos of one person; the first is the one that is animated.

        Args and errors as ``from_image``; ``face`` holds for each photo.
        """
        if isinstance(images, str | bytes | os.PathLike) or len(images) == 0:
            raise ImageError("from_images needs a list of one or more images; see from_image")
        models = Engine.default() if engine is None else engine
        if not isinstance(consent, Consent):
            consent = from_mapping(Consent, consent or {})
        photos = tuple(_photo(image, face, models, k) for k, image in enumerate(images))
        identity = Identity(photos, consent=consent, models=models.versions())
        return cls(identity, engine=models)

    def speak(
        self,
        audio: AudioSource,
        *,
        fps: float = 25.0,
        size: int | None = None,
        seed: int = 0,
        style: Style = NEUTRAL,
    ) -> Clip:
        """The person says ``audio``. Nothing is drawn until the clip is read or saved.

        Args:
            audio: path, bytes, binary file, ``(samples, sample_rate)`` or ``Audio``.
            fps: frames a second.
            size: longer side of the frames in pixels; the photo's own by default.
            seed: of blinks, glances and head motion: the same seed gives the same pixels.
            style: how the face speaks: emotion, liveliness, gaze.

        Raises:
            AudioError: it cannot be read, is empty or not finite.
            ConfigError: ``fps`` or ``size`` is out of range.
        """
        config = SessionConfig(fps=fps, size=size, seed=seed)
        likeness = self._likeness(size, pixels=True)
        return spoken(audio, engine=self.engine, likeness=likeness, config=config, style=style)

    def mimic(
        self,
        driver: DriverSource,
        *,
        audio: AudioSource | None = None,
        fps: float | None = None,
        size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Clip:
        """The person does what another face does, relative to how either looks at rest.

        A film is looked through here; nothing is drawn until the clip is read or saved. Its sound
        is kept. Frames in which no face is found are bridged.

        Args:
            driver: a video (path, bytes, binary file); an ``.npz`` of ``avatar motion`` or what
                ``avatar.motion.track`` gives; or ``(landmarks, fps)`` with ``[T, 478, 3]`` pixels,
                rows of NaN where there is no face.
            audio: the sound, instead of the film's own; without either there is silence.
            fps: frames a second; the driver's own by default.
            size: longer side of the frames in pixels; the photo's own by default.
            progress: called with the number of pictures of the film looked at so far.

        Raises:
            VideoError: the film cannot be read.
            NoFaceError: no picture of it shows a face.
            InputError: a track cannot be used.
            AudioError: ``audio`` cannot be read or is empty.
            ConfigError: ``fps`` or ``size`` is out of range.
        """
        config = SessionConfig(size=size) if fps is None else SessionConfig(fps=fps, size=size)
        likeness = self._likeness(size, pixels=True)
        driver = readable_again(driver)
        seen = read_driver(driver, self.engine.detector.detect, progress=progress)
        if fps is None:
            config = replace(config, fps=min(seen.fps, 120.0))
        offset = 0.0
        if isinstance(seen, Motion):
            motion = seen if seen.fps == config.fps else resampled(seen, config.fps)
        else:
            likeness = likeness.measured
            motion = follow(seen, self.engine.rig, fps=config.fps)
            motion = replace(motion, expression=likeness.retargeter.from_rest(motion.expression))
            if audio is None and seen.sound_begins_seconds is not None:
                audio, offset = cast(AudioSource, driver), seen.sound_begins_seconds
        reachable = within_reach(motion.rotation, likeness.retargeter.fit)
        motion = replace(motion, rotation=reachable)
        return performed(
            motion, audio, offset_seconds=offset, engine=self.engine, likeness=likeness,
            config=config,
        )  # fmt: skip

    def session(
        self,
        *,
        fps: float = 25.0,
        size: int | None = None,
        seed: int = 0,
        sample_rate: int = SAMPLE_RATE,
        style: Style = NEUTRAL,
        pixels: bool = True,
        idle: bool = False,
        pacing: str = "burst",
        ahead_seconds: float = 0.0,
    ) -> Session:
        """A live stream: push sound, iterate frames.

        Args:
            fps, size, seed, style: as in ``speak``.
            sample_rate: of the sound that will be pushed and that comes with the frames, in hertz.
            pixels: False for landmarks and blendshapes only: ``Frame.image`` is None, and the
                generator is neither loaded nor run.
            idle: frames go on where nothing is said.
            pacing: ``burst``, frames as soon as they are known, or ``realtime``, each at its time.
            ahead_seconds: how long before its time a frame of speech may leave in ``realtime``.

        Raises:
            ConfigError: a setting is out of range.
        """
        config = SessionConfig(
            fps=fps, size=size, seed=seed, sample_rate=sample_rate, pixels=pixels, idle=idle,
            pacing=pacing, ahead_seconds=ahead_seconds,
        )  # fmt: skip
        likeness = self._likeness(size, pixels=pixels)
        return Session(self.engine, likeness, config=config, style=style)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.avatar`` file.

        Raises:
            OutputError: it cannot be written.
        """
        return self.identity.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, engine: Engine | None = None) -> Avatar:
        """Read an ``.avatar`` file. No photo is searched for faces, so it is quick.

        Raises:
            AvatarFileError: not an avatar file, damaged, or written by a newer version.
        """
        return cls(Identity.load(path), engine=engine)

    def _likeness(self, size: int | None, *, pixels: bool) -> Likeness:
        """The person at a size; the last few are kept, so that sessions share them."""
        with self._preparing:
            key = (size, pixels)
            if key not in self._likenesses:
                likeness = self._make_likeness(size, pixels=pixels)
                if likeness.portrait is not None:
                    self.engine.warm_up(likeness.portrait)
                self._likenesses[key] = likeness
            self._likenesses.move_to_end(key)
            if len(self._likenesses) > _KEPT_SIZES:
                self._likenesses.popitem(last=False)
            return self._likenesses[key]

    def _make_likeness(self, size: int | None, *, pixels: bool) -> Likeness:
        photo = self.identity.photos[0]
        if not pixels:
            height, width = photo.image.shape[:2]
            face = photo.face if size is None else scaled(photo.face, width, height, size)
            return Likeness.of(self.engine.rig, face)
        if self._portrait is None:
            photos = [(photo.image, photo.face) for photo in self.identity.photos]
            self._portrait = self.engine.prepare(photos)
        portrait = self._portrait if size is None else self._portrait.resized(size)
        face = Face(portrait.landmarks, portrait.expression)
        return Likeness.of(self.engine.rig, face, portrait)


def _photo(source: ImageSource, face: int | None, engine: Engine, k: int) -> Photo:
    """Read one photo and find the face in it."""
    name = f"image {k}"
    data: bytes | None = None
    if isinstance(source, str | os.PathLike):
        name = str(os.fspath(source))
        # A pipe can be read once only, so it is not opened a second time.
        data = Path(name).read_bytes() if Path(name).is_fifo() else None
        image = load_image(source if data is None else data)
        data = Path(name).read_bytes() if data is None else data
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        image = load_image(data)
    elif callable(getattr(source, "read", None)):
        data = cast(BinaryIO, source).read()
        image = load_image(data)
    else:
        image = load_image(source)
    return Photo.of(image, engine.find_face(image, face=face, name=name), data)
