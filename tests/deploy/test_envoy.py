"""The shipped Envoy configuration, in front of two servers on loopback."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from tests.integrations.peers import ROOT, peer
from tests.serving.certificates import Authority
from tests.serving.conftest import PATIENCE, RATE, Running, Serve, Speaking

from avatar.serving import RemoteAvatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc

SHIPPED = ROOT / "deploy" / "envoy" / "envoy.yaml"
BURST = {"pacing": pb.PACING_BURST}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def on_loopback(replicas: list[Running], port: int, certificates: Path) -> str:
    """The shipped file with addresses, ports and paths of this machine, otherwise as it is."""
    text = SHIPPED.read_text().replace("/etc/avatar/tls", str(certificates))
    config = yaml.safe_load(text)
    listener = config["static_resources"]["listeners"][0]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    cluster = config["static_resources"]["clusters"][0]
    cluster["type"] = "STATIC"
    del cluster["dns_refresh_rate"]
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {
            "address": "127.0.0.1", "port_value": replica.server.port}}}}
        for replica in replicas
    ]  # fmt: skip
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    return str(yaml.safe_dump(config))


@dataclass(frozen=True)
class Balanced:
    """Envoy that runs, and the servers behind it."""

    address: str
    root: bytes
    channel: Any
    replicas: list[Running]

    @property
    def stub(self) -> Any:
        return avatar_pb2_grpc.AvatarServiceStub(self.channel)

    def active(self) -> list[int]:
        """Sessions of each replica."""
        return [replica.server.stage.admission.active for replica in self.replicas]


@contextmanager
def balanced(serve: Serve, folder: Path) -> Iterator[Balanced]:
    """Two servers, Envoy in front of them, and a channel to it over TLS."""
    envoy, authority, port = peer("envoy", "envoy"), Authority(), free_port()
    signed = authority.sign("localhost")
    (folder / "tls.crt").write_bytes(signed.certificate)
    (folder / "tls.key").write_bytes(signed.key)
    with serve(drain_seconds=20.0) as one, serve(drain_seconds=20.0) as two:
        path = folder / "envoy.yaml"
        path.write_text(on_loopback([one, two], port, folder))
        command = [envoy, "-c", path, "--use-dynamic-base-id", "--concurrency", "1"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([*command, "-l", "warning"], stdout=log, stderr=log)
        try:
            credentials = grpc.ssl_channel_credentials(authority.root)
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                until = time.monotonic() + PATIENCE
                while not healthy(channel):
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < until
                    time.sleep(0.05)
                yield Balanced(f"localhost:{port}", authority.root, channel, [one, two])
        finally:
            process.terminate()
            process.wait(30)


def healthy(channel: Any) -> bool:
    """Whether Envoy has a replica to send calls to."""
    stub = avatar_pb2_grpc.AvatarServiceStub(channel)
    try:
        return bool(stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=5).version)
    except grpc.RpcError:
        return False


@pytest.fixture(scope="module")
def envoy(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with balanced(serve, tmp_path_factory.mktemp("envoy")) as found:
        yield found


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_sessions_of_one_connection_go_to_both_replicas(envoy: Balanced, voice: Any) -> None:
    held = [Speaking(envoy.stub, **BURST) for _ in range(8)]
    assert envoy.active() == [4, 4]
    for speaking in held:
        speaking.say(voice)
        speaking.done()
    assert [len(speaking.frames()) for speaking in held] == [30] * 8
    until(lambda: envoy.active() == [0, 0])


def test_our_client_works_through_it(envoy: Balanced, voice: Any) -> None:
    with RemoteAvatar(envoy.address, "eileen", root_certificate=envoy.root) as remote:
        frames = list(remote.speak((voice, RATE), size=64))
    assert len(frames) == 30
    assert frames[0].image is not None


def test_an_interrupt_and_a_cancel_reach_the_replica(envoy: Balanced, voice: Any) -> None:
    with Speaking(envoy.stub, fps=25) as speaking:
        speaking.say(voice)
        speaking.read()
        speaking.send(interrupt=pb.Interrupt())
        while getattr(speaking.read(), "type", None) != pb.Event.TYPE_INTERRUPTED:
            pass
        speaking.call.cancel()
    until(lambda: envoy.active() == [0, 0])


def test_errors_keep_their_words_and_status(envoy: Balanced) -> None:
    with Speaking(envoy.stub) as speaking:
        speaking.send(config=pb.SessionConfig(avatar_id="nobody"))
        assert speaking.code() == grpc.StatusCode.NOT_FOUND
        assert "nobody" in speaking.call.details()


def test_a_replica_that_drains_keeps_its_sessions_and_gets_no_new_ones(
    serve: Serve, voice: Any, tmp_path: Path
) -> None:
    with balanced(serve, tmp_path) as envoy:
        held = [Speaking(envoy.stub, **BURST) for _ in range(2)]
        assert envoy.active() == [1, 1]
        first = envoy.replicas[0]
        draining = threading.Thread(target=lambda: first.run(first.server.drain()))
        draining.start()
        time.sleep(3)  # longer than Envoy waits between its questions
        late = [Speaking(envoy.stub, **BURST) for _ in range(4)]
        assert envoy.active() == [1, 5]
        for speaking in held + late:
            speaking.say(voice)
            speaking.done()
            assert len(speaking.frames()) == 30
            assert speaking.call.code() == grpc.StatusCode.OK
        draining.join(30)
        assert not draining.is_alive()
