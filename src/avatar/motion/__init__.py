"""From speech to motion: the network, the idle life around it, and the way onto a person's face."""

from avatar.motion.audio_to_face import AudioToFace, AudioToFaceState, MouthBlock
from avatar.motion.curves import CURVES, curve_matrix
from avatar.motion.idle import IdleLife, Prosody
from avatar.motion.retarget import Retargeter
from avatar.motion.stream import MotionStream

__all__ = [
    "CURVES",
    "AudioToFace",
    "AudioToFaceState",
    "IdleLife",
    "MotionStream",
    "MouthBlock",
    "Prosody",
    "Retargeter",
    "curve_matrix",
]
