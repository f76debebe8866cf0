from avatar.serving._stubs.a2f import audio2face_3d_pb2 as _audio2face_3d_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
