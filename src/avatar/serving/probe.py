"""``python -m avatar.serving.probe HOST:PORT``: whether a server serves, as an exit code.

For health checks of containers; it loads no models and needs no token.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["AvatarService"].full_name


def probe(address: str, *, root_certificate: bytes | None = None, seconds: float = 2.0) -> bool:
    """Whether the server at ``address`` takes sessions.

    Args:
        address: ``host:port``.
        root_certificate: PEM of who signed the server's certificate; None for no encryption.
        seconds: how long it may take to answer.
    """
    if root_certificate is None:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificate))
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=_SERVICE), timeout=seconds
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> None:
    """End with 0 where it serves, else with 1."""
    parser = argparse.ArgumentParser(description="Whether an avatar server serves.")
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("--root", type=Path, help="PEM of who signed its certificate")
    chosen = parser.parse_args()
    root = None if chosen.root is None else chosen.root.read_bytes()
    sys.exit(0 if probe(chosen.address, root_certificate=root) else 1)


if __name__ == "__main__":
    main()
