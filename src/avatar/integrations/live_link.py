"""Frames as the packets of Live Link Face, which Unreal and other programs listen to.

Epic's iOS app *Live Link Face* sends a UDP packet for each frame to port 11111; Unreal's *Apple
ARKit Face Support* takes them as a Live Link subject, and MetaHumans follow it as they are. A
packet of its version 6 is, in network byte order::

    u8  6
    i32 length, then a UUID as text                     the device
    i32 length, then UTF-8                              the subject
    i32 frame, f32 part of a frame, i32 / i32 rate      the time (FQualifiedFrameTime)
    u8  61, then 61 f32                                 52 blendshapes, 9 angles in radians

The blendshapes have ARKit's order (left before right, where the app's CSV has right first). The
angles and their signs are those of the CSV (``avatar.motion``).
"""

from __future__ import annotations

import math
import socket
import struct
import uuid
from fractions import Fraction
from types import TracebackType

from avatar.errors import ConfigError
from avatar.face.pose import matrix_from_quaternion
from avatar.motion import gaze_of
from avatar.serving.curves import in_arkit_order
from avatar.types import FloatArray, Frame

PORT = 11111
_VERSION = 6
_VALUES = 61
_MOST_NAME_BYTES = 128


class LiveLinkFace:
    """Sends frames to a program that listens for the app.

    A packet that cannot be sent is dropped: the next frame says all anew.

    Args:
        address: ``host:port`` of the listener; ``host`` alone means port 11111.
        subject: the name under which the listener shows the face.
        fps: frame rate of the session, for the time of the packets.

    Raises:
        ConfigError: no such address, or a subject that is empty or longer than 128 bytes.

    Example:
        >>> with LiveLinkFace("127.0.0.1:11111") as unreal, avatar.session(  # doctest: +SKIP
        ...     pixels=False, pacing="realtime", idle=True
        ... ) as session:
        ...     for frame in session:
        ...         unreal.send(frame)
    """

    def __init__(self, address: str, *, subject: str = "avatar", fps: float = 25.0) -> None:
        name = subject.encode()
        if not 0 < len(name) <= _MOST_NAME_BYTES:
            raise ConfigError(f"a subject has 1 to {_MOST_NAME_BYTES} bytes, got {len(name)}")
        device = str(uuid.uuid4()).encode()
        self._head = struct.pack("!Bi", _VERSION, len(device)) + device
        self._head += struct.pack("!i", len(name)) + name
        self.subject = subject
        self._rate = Fraction(fps).limit_denominator(1001)
        family, target = resolve(address)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(target)

    def send(self, frame: Frame) -> None:
        """Send one frame, without waiting."""
        try:
            self._socket.send(self.packet(frame))
        except OSError:
            return  # nobody listens yet, or the queue is full

    def packet(self, frame: Frame) -> bytes:
        """``frame`` as a packet."""
        number, part = divmod(frame.pts_seconds * float(self._rate), 1.0)
        rate = self._rate
        time = struct.pack("!ifii", int(number), part, rate.numerator, rate.denominator)
        values = (*in_arkit_order(frame.expression).tolist(), *_angles(frame))
        return self._head + time + struct.pack(f"!B{_VALUES}f", _VALUES, *values)

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()

    def __enter__(self) -> LiveLinkFace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def resolve(address: str) -> tuple[int, tuple[str, int]]:
    """Family and target of the ``host:port`` or ``host`` that listens.

    Raises:
        ConfigError: it is not one, or the name is not known.
    """
    host, sign, port = address.rpartition(":")
    if not sign or address.endswith("]"):
        host, port = address, str(PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"expected HOST:PORT of a Live Link listener, got {address!r}")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as reason:
        raise ConfigError(f"{address}: {reason.strerror}") from None
    family, _, _, _, target = found[0]
    return family, (str(target[0]), int(target[1]))


def _angles(frame: Frame) -> tuple[float, ...]:
    """Yaw, pitch and roll of the head, of the left eye and of the right one."""
    m: FloatArray = matrix_from_quaternion(frame.rotation)
    right = math.atan2(m[0, 2], m[2, 2])
    down = -math.asin(min(max(float(m[1, 2]), -1.0), 1.0))
    clockwise = math.atan2(m[1, 0], m[1, 1])
    eyes_right, eyes_down = gaze_of(frame.expression)
    eye = (-eyes_right, eyes_down, 0.0)
    return (-right, -down, -clockwise, *eye, *eye)
