"""Reading and writing: images, sound, video, and the streaming resampler between rates."""

from avatar.media._source import ByteSource, is_byte_source, read_whole
from avatar.media.audio import AudioSource, iter_audio, load_audio
from avatar.media.image import ImageSource, load_image
from avatar.media.resample import StreamResampler
from avatar.media.video import VideoReader
from avatar.media.writer import VideoWriter, check_output

__all__ = [
    "AudioSource",
    "ByteSource",
    "ImageSource",
    "StreamResampler",
    "VideoReader",
    "VideoWriter",
    "check_output",
    "is_byte_source",
    "iter_audio",
    "load_audio",
    "load_image",
    "read_whole",
]
