"""What every call has in common: errors become gRPC statuses, and nothing else is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from avatar.errors import AvatarError
from avatar.serving.errors import BusyError, RequestError, TimeLimitError, UnreachableError
from avatar.serving.log import log_fault
from avatar.serving.metrics import Metrics

T = TypeVar("T")

ERROR_KEY = "avatar-error"
RETRY_KEY = "grpc-retry-pushback-ms"
_DETAILS_KEY = "grpc-status-details-bin"
_MOST_WORDS = 1000


@asynccontextmanager
async def answering(context: Any, metrics: Metrics) -> AsyncIterator[None]:
    """Inside, raise what goes wrong; the caller gets its status, and the server lives on."""
    try:
        yield
    except AvatarError as error:
        metrics.rejected(error.grpc_status)
        await _refuse(context, error)
    except DecodeError:
        metrics.rejected(RequestError.grpc_status)
        await _refuse(context, _not_a_message())
    except (grpc.aio.AbortError, grpc.aio.UsageError, asyncio.CancelledError):
        raise
    except Exception:
        # Its words may hold what people sent, so they stay in the server's log.
        log_fault("call failed")
        metrics.rejected("INTERNAL")
        await context.abort(grpc.StatusCode.INTERNAL, "the server failed; its log says why", ())


async def within(seconds: float, work: Awaitable[T], what: str) -> T:
    """``work``, or a ``TimeLimitError`` that says ``what`` was waited for."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise TimeLimitError(f"waited {seconds:g} s for {what}") from None


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Run what takes long without holding up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


class MessageInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Bytes that are no message are an invalid argument; gRPC alone would not know whose fault."""

    async def intercept_service(
        self, proceed: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await proceed(details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler

        async def answer(request: Any, context: Any) -> Any:
            if isinstance(request, DecodeError):
                await _refuse(context, _not_a_message())
            return await handler.unary_unary(request, context)

        def parse(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except DecodeError as error:
                return error

        return grpc.unary_unary_rpc_method_handler(answer, parse, handler.response_serializer)


def _not_a_message() -> RequestError:
    return RequestError("the request is not a message of this protocol")


async def _refuse(context: Any, error: AvatarError) -> None:
    status = grpc.StatusCode[error.grpc_status]
    words = " ".join(str(error).split())[:_MOST_WORDS]
    metadata: list[tuple[str, str | bytes]] = [(ERROR_KEY, type(error).__name__)]
    if isinstance(error, BusyError | UnreachableError):
        metadata.append((RETRY_KEY, str(round(error.retry_seconds * 1000))))
        metadata.append((_DETAILS_KEY, _retry_details(status, words, error.retry_seconds)))
    await context.abort(status, words, tuple(metadata))


def _retry_details(status: grpc.StatusCode, words: str, seconds: float) -> bytes:
    """``google.rpc.Status`` with a ``RetryInfo``."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromNanoseconds(round(seconds * 1e9))
    packed = any_pb2.Any()
    packed.Pack(retry)
    message = status_pb2.Status(code=status.value[0], message=words, details=[packed])
    return bytes(message.SerializeToString())
