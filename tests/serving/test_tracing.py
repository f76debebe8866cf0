"""Spans of sessions: part of the caller's trace, and without anything that was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.serving.conftest import Serve, Speaking

from avatar.errors import DependencyError
from avatar.serving import tracing
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.config import ServerConfig


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    trace.set_tracer_provider(provider)
    yield found
    provider.shutdown()


def test_a_session_is_a_span_of_the_callers_trace(
    serve: Serve, voice: Any, exporter: InMemorySpanExporter
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with serve(tracing=True) as running, running.stub() as stub:
        with Speaking(stub, pacing=pb.PACING_BURST, metadata=[("traceparent", parent)]) as speaking:
            speaking.say(voice, "my secret utterance")
            speaking.done()
            assert len(speaking.frames()) == 30
        with Speaking(stub, fps=25) as wrong:
            wrong.send(config=pb.SessionConfig())
            assert wrong.code().name == "FAILED_PRECONDITION"
    good, bad = exporter.get_finished_spans()
    assert f"{good.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert good.attributes["avatar.frames"] == 30
    assert good.attributes["avatar.code"] == "OK"
    assert [event.name for event in good.events] == ["first frame"]
    assert bad.attributes["avatar.code"] == "FAILED_PRECONDITION"
    assert "secret" not in good.to_json() + bad.to_json()


def test_without_its_package_tracing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(tracing.importlib, "import_module", missing)
    with pytest.raises(DependencyError, match="opentelemetry"):
        tracing.make_tracer(ServerConfig(tracing=True))
    with tracing.make_tracer(ServerConfig()).session(None, "x") as span:
        span.set_attribute("a", 1)
