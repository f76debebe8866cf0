"""The messages of ``avatar.v1`` between the processes of Ray.

Ray pickles what it passes on, and pickle would look for a message's class in the module that its
``.proto`` file names, which is not where it lives in this package. Here messages travel as protobuf
writes them. Both sides load this module: the proxy for ``add_service``, a replica to read.
"""

from __future__ import annotations

import copyreg
from typing import Any

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc


def add_service(servicer: Any, server: Any) -> None:
    """Put ``AvatarService`` on a server of Ray."""
    add = avatar_pb2_grpc.add_AvatarServiceServicer_to_server
    add(servicer, server)  # type: ignore[no-untyped-call]


def read_message(name: str, data: bytes) -> Any:
    """The message ``name`` that was written as ``data``."""
    return getattr(pb, name).FromString(data)


def _reduce(message: Any) -> tuple[Any, tuple[str, bytes]]:
    return read_message, (message.DESCRIPTOR.name, message.SerializeToString())


for _name in pb.DESCRIPTOR.message_types_by_name:
    copyreg.pickle(getattr(pb, _name), _reduce)
