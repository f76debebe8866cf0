"""Reading and writing: images, sound, video, and the streaming resampler between rates."""

from avatar.media._source import ByteSource
from avatar.media.audio import AudioSource, iter_audio, load_audio
from avatar.media.image import ImageSource, load_image
from avatar.media.resample import StreamResampler
from avatar.media.video import VideoReader
from avatar.media.writer import VideoWriter

__all__ = [
    "AudioSource",
    "ByteSource",
    "ImageSource",
    "StreamResampler",
    "VideoReader",
    "VideoWriter",
    "iter_audio",
    "load_audio",
    "load_image",
]
