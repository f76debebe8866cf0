"""From speech to motion: the network, the idle life around it, and the way onto a person's face."""

from avatar.motion.audio_to_face import AudioToFace, AudioToFaceState, Ear, MouthBlocks
from avatar.motion.curves import CURVES, curve_matrix
from avatar.motion.driver import DriverSource, Seen, read_driver
from avatar.motion.emotion import EMOTIONS
from avatar.motion.eyes import gaze_of
from avatar.motion.following import follow, resampled, within_reach
from avatar.motion.idle import IdleLife, Prosody, Voice
from avatar.motion.retarget import Retargeter
from avatar.motion.stream import MotionStream
from avatar.motion.style import NEUTRAL, Style
from avatar.motion.track import MotionTrack, track

__all__ = [
    "CURVES",
    "EMOTIONS",
    "NEUTRAL",
    "AudioToFace",
    "AudioToFaceState",
    "DriverSource",
    "Ear",
    "IdleLife",
    "MotionStream",
    "MotionTrack",
    "MouthBlocks",
    "Prosody",
    "Retargeter",
    "Seen",
    "Style",
    "Voice",
    "curve_matrix",
    "follow",
    "gaze_of",
    "read_driver",
    "resampled",
    "track",
    "within_reach",
]
