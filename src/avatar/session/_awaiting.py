"""How a session is read without holding up an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from avatar.engine import Drawing
from avatar.types import Frame


class AsyncFrames(AsyncIterator[Frame]):
    """An iterator that a cancelled read does not end, as it would end a generator."""

    def __init__(self, read: Callable[[], Awaitable[Frame | None]]) -> None:
        self._read = read

    async def __anext__(self) -> Frame:
        frame = await self._read()
        if frame is None:
            raise StopAsyncIteration
        return frame


async def drawn(drawing: Drawing) -> None:
    """Wait without holding up the event loop, or a thread of it."""
    if drawing.done():
        return
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        # A loop that was closed waits no more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(news.set)

    drawing.when_done(tell)
    await news.wait()
