"""Several serving processes behind one port.

The kernel spreads connections over them (SO_REUSEPORT). One that dies takes its own sessions along,
which end with UNAVAILABLE; the others go on, and another takes its place.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from types import FrameType

from avatar.errors import OutputError
from avatar.serving.config import ServerConfig
from avatar.serving.log import log, start_logging

_FAST_DEATH_SECONDS = 5.0
_MOST_FAST_DEATHS = 3


def serve(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT, in this process or in as many as ``config`` says.

    Raises:
        OutputError: the port is taken; or workers die as soon as they begin.
        ConfigError, DependencyError: as ``avatar.serving.server.serving``.
    """
    if config.workers == 1:
        _work(config, 0)
        return
    with ExitStack() as stack:
        if config.avatars is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            config = replace(config, avatars=folder)
        start_logging(config.log_level)
        stack.enter_context(_reserved(config))
        _Crew(config).run()


class _Crew:
    """The workers, and a new one for each that dies."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        # A fork would copy locks that threads of gRPC hold.
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, BaseProcess] = {}
        self._begun: dict[int, float] = {}
        self._fast_deaths = 0
        self._ends = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for k in range(self._config.workers):
            self._start(k)
        try:
            while self._workers:
                multiprocessing.connection.wait(
                    [worker.sentinel for worker in self._workers.values()], timeout=1.0
                )
                self._bury()
        finally:
            for worker in self._workers.values():
                worker.terminate()

    def _start(self, k: int) -> None:
        worker = self._context.Process(target=_work, args=(self._config, k), name=f"worker-{k}")
        worker.start()
        self._workers[k], self._begun[k] = worker, time.monotonic()

    def _bury(self) -> None:
        """Replace the workers that died."""
        for k, worker in list(self._workers.items()):
            if worker.is_alive():
                continue
            del self._workers[k]
            if self._ends:
                continue
            log("worker died", worker=k, code=worker.exitcode)
            fast = time.monotonic() - self._begun[k] < _FAST_DEATH_SECONDS
            self._fast_deaths = self._fast_deaths + 1 if fast else 0
            if self._fast_deaths >= _MOST_FAST_DEATHS:
                raise OutputError("workers die as soon as they begin; the log above says why")
            self._start(k)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._ends = True
        for worker in self._workers.values():
            worker.terminate()


def _work(config: ServerConfig, k: int) -> None:
    """One process that serves."""
    from avatar.serving.server import run

    start_logging(config.log_level)
    asyncio.run(run(config, worker=k))


@contextmanager
def _reserved(config: ServerConfig) -> Iterator[None]:
    """Hold the port without listening, so that a second server is refused at once."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as free:
        try:
            free.bind((config.host, config.port))
        except OSError as reason:
            raise OutputError(f"cannot listen on {config.address}: {reason.strerror}") from None
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((config.host, config.port))
        yield
