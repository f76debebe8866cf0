"""The task call: a photo and a voice become a clip or a live session."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from avatar.clip import Clip, performed, readable_again, spoken
from avatar.config import SAMPLE_RATE, SessionConfig, from_mapping
from avatar.engine import Engine
from avatar.errors import ConfigError, ImageError
from avatar.generator import Background, BackgroundSource, Portrait
from avatar.identity import Consent, Identity, Photo
from avatar.media import AudioSource, ImageSource, load_image, read_whole
from avatar.motion import (
    NEUTRAL,
    DriverSource,
    Style,
    follow,
    read_driver,
    resampled,
    within_reach,
)
from avatar.personal import DEFAULT_STEPS, PersonFaces, faces_of_video, personalise
from avatar.session import Likeness, Session, scaled
from avatar.types import Face, FloatArray, Motion

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
        self._mask: FloatArray | None = None
        self._likenesses: OrderedDict[tuple[int | None, bool, str], Likeness] = OrderedDict()

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
        one = isinstance(images, str | bytes | os.PathLike) or getattr(images, "ndim", 4) < 4
        if one or len(images) == 0:
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
        background: BackgroundSource = "keep",
    ) -> Clip:
        """The person says ``audio``. Nothing is drawn until the clip is read or saved.

        Args:
            audio: path, bytes, binary file, ``(samples, sample_rate)`` or ``Audio``.
            fps: frames a second.
            size: longer side of the frames in pixels; the photo's own by default.
            seed: of blinks, glances and head motion: the same seed gives the same pixels.
            style: how the face speaks: emotion, liveliness, gaze.
            background: what to show behind the person: ``keep`` (the photo), ``blur``, a colour
                (``#rrggbb`` or three numbers), an image, or ``alpha`` for transparent frames
                ``[H, W, 4]``.

        Raises:
            AudioError: it cannot be read, is empty or not finite.
            ConfigError: ``fps`` or ``size`` is out of range, or the background is nothing known.
            ImageError: the image of the background cannot be read.
        """
        config = SessionConfig(fps=fps, size=size, seed=seed)
        likeness = self._likeness(size, pixels=True, background=background)
        return spoken(audio, engine=self.engine, likeness=likeness, config=config, style=style)

    def mimic(
        self,
        driver: DriverSource,
        *,
        audio: AudioSource | None = None,
        fps: float | None = None,
        size: int | None = None,
        background: BackgroundSource = "keep",
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
            background: as in ``speak``.
            progress: called with the number of pictures of the film looked at so far.

        Raises:
            VideoError: the film cannot be read.
            NoFaceError: no picture of it shows a face.
            InputError: a track cannot be used.
            AudioError: ``audio`` cannot be read or is empty.
            ConfigError: ``fps`` or ``size`` is out of range, or the background is nothing known.
            ImageError: the image of the background cannot be read.
        """
        config = SessionConfig(size=size) if fps is None else SessionConfig(fps=fps, size=size)
        likeness = self._likeness(size, pixels=True, background=background)
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
        background: BackgroundSource = "keep",
    ) -> Session:
        """A live stream: push sound, iterate frames.

        Args:
            fps, size, seed, style, background: as in ``speak``.
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
        likeness = self._likeness(size, pixels=pixels, background=background)
        return Session(self.engine, likeness, config=config, style=style)

    def personalize(
        self,
        pictures: ImageSource | Sequence[ImageSource] = (),
        *,
        steps: int = DEFAULT_STEPS,
        face: int | None = None,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Avatar:
        """This avatar with a mouth of its own, learnt from more pictures of the person.

        A short fine-tuning of the decoder of the mouth (Zakharov et al. 2019, section 3.3), one to
        three minutes on two CPU cores. One picture is held out; where it is not drawn clearly
        better after than before, nothing is kept and a warning says so. What is kept is at most
        2 MB in the saved file, and a frame takes no longer than before.

        Args:
            pictures: six to ten photos of the person with the mouth closed, open, and smiling
                with teeth; or the path of a short video of them speaking.
            steps: how long to learn at most; it stops early where that brings no more.
            face: which face to take where a picture shows several, 0 for the largest.
            seed: the same pictures and seed give the same result on the same machine.
            progress: called with the steps done and to do; the last may not come.

        Returns:
            a new avatar; this one stays as it is. ``identity.deltas`` has the scores, or is None
            where nothing is kept.

        Raises:
            ImageError: a picture cannot be read. VideoError: the video cannot be read.
            FaceError: a picture, or a whole video, shows no usable face.
            ConfigError: ``steps`` or ``seed`` is out of range.
        """
        if not 1 <= steps <= 10_000:
            raise ConfigError(f"steps must be within 1 to 10000, got {steps}")
        if seed < 0:
            raise ConfigError(f"seed must not be negative, got {seed}")
        outcome = personalise(
            self.engine,
            [(photo.image, photo.face) for photo in self.identity.photos],
            _more_faces(pictures, face, self.engine),
            steps=steps,
            seed=seed,
            progress=progress,
        )
        if outcome.note:
            warnings.warn(outcome.note, stacklevel=2)
        return Avatar(replace(self.identity, deltas=outcome.deltas), engine=self.engine)

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

    def _likeness(
        self, size: int | None, *, pixels: bool, background: BackgroundSource = "keep"
    ) -> Likeness:
        """The person at a size; the last few are kept, so that sessions share them."""
        behind = Background.of(background)
        if behind is not None and not pixels:
            raise ConfigError("a session without pixels has no background; leave it at keep")
        with self._preparing:
            key = (size, pixels, "keep" if behind is None else behind.key)
            if key not in self._likenesses:
                likeness = self._make_likeness(size, pixels, behind)
                if likeness.portrait is not None:
                    self.engine.warm_up(likeness.portrait)
                self._likenesses[key] = likeness
            self._likenesses.move_to_end(key)
            if len(self._likenesses) > _KEPT_SIZES:
                self._likenesses.popitem(last=False)
            return self._likenesses[key]

    def _make_likeness(
        self, size: int | None, pixels: bool, background: Background | None
    ) -> Likeness:
        photo = self.identity.photos[0]
        if not pixels:
            height, width = photo.image.shape[:2]
            face = photo.face if size is None else scaled(photo.face, width, height, size)
            return Likeness.of(self.engine.rig, face)
        if self._portrait is None:
            photos = [(photo.image, photo.face) for photo in self.identity.photos]
            self._portrait = self.engine.prepare(photos, self.identity.deltas)
        portrait = self._portrait if size is None else self._portrait.resized(size)
        if background is not None:
            if self._mask is None:
                self._mask = self.engine.person_mask(photo.image, photo.face)
            portrait = background.behind(portrait, self._mask)
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
        data = read_whole(cast(BinaryIO, source), ImageError)
        image = load_image(data)
    else:
        image = load_image(source)
    return Photo.of(image, engine.find_face(image, face=face, name=name), data)


def _more_faces(
    pictures: ImageSource | Sequence[ImageSource], face: int | None, engine: Engine
) -> PersonFaces | None:
    """The faces of photos, or of a video where its path is given; None where nothing is."""
    if isinstance(pictures, str | os.PathLike):
        try:
            photos = [_photo(pictures, face, engine, 0)]
        except ImageError:
            if not Path(pictures).is_file():
                raise
            return faces_of_video(pictures, engine)
    elif isinstance(pictures, list | tuple):
        photos = [_photo(picture, face, engine, k) for k, picture in enumerate(pictures)]
    else:
        photos = [_photo(cast(ImageSource, pictures), face, engine, 0)]
    return PersonFaces.of([(p.image, p.face) for p in photos]) if photos else None
