"""What only a server or its client can say, hung into the tree of ``avatar.errors``.

AvatarError
├── InputError
│   ├── UnknownAvatarError     no avatar of that name                      NOT_FOUND
│   ├── AvatarExistsError      the name is taken                           ALREADY_EXISTS
│   ├── RequestError           a request that cannot be understood         INVALID_ARGUMENT
│   ├── OrderError             a request at the wrong time                 FAILED_PRECONDITION
│   └── ConsentError           consent is demanded and not attested        FAILED_PRECONDITION
├── TokenError                 no token, or a wrong one                    UNAUTHENTICATED
├── TimeLimitError             the client took too long                    DEADLINE_EXCEEDED
├── BusyError                  no room for one more                        RESOURCE_EXHAUSTED
└── UnreachableError           draining, restarting, or not there          UNAVAILABLE
"""

from __future__ import annotations

from avatar.errors import AvatarError, InputError


class UnknownAvatarError(InputError):
    """The server keeps no avatar of that name."""

    exit_code = 30
    grpc_status = "NOT_FOUND"


class AvatarExistsError(InputError):
    """The server keeps an avatar of that name already."""

    exit_code = 31
    grpc_status = "ALREADY_EXISTS"


class RequestError(InputError):
    """A request that cannot be understood, or asks for more than the limits."""

    exit_code = 32


class OrderError(InputError):
    """A request that may not come at this point of the stream."""

    exit_code = 33
    grpc_status = "FAILED_PRECONDITION"


class ConsentError(InputError):
    """The server demands that someone attests the consent of the person shown."""

    exit_code = 34
    grpc_status = "FAILED_PRECONDITION"


class TokenError(AvatarError):
    """The request carries no bearer token, or one the server does not know."""

    exit_code = 35
    grpc_status = "UNAUTHENTICATED"


class TimeLimitError(AvatarError):
    """The client took longer than the server waits."""

    exit_code = 36
    grpc_status = "DEADLINE_EXCEEDED"


class BusyError(AvatarError):
    """The server has no room for one more; ``retry_seconds`` says when to ask again."""

    exit_code = 37
    grpc_status = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, retry_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class UnreachableError(AvatarError):
    """The server is not there, ends, or was lost; ``retry_seconds`` says when to ask again."""

    exit_code = 38
    grpc_status = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
