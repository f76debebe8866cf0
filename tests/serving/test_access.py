"""Who may call: tokens, certificates, and what happens to the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.serving.certificates import Authority
from tests.serving.conftest import Running, Serve, Speaking

from avatar.errors import ConfigError
from avatar.serving import RemoteAvatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving.auth import TokenFile
from avatar.serving.errors import TokenError, UnreachableError

GOOD, LATER = "the-first-good-token", "another-good-token-x"
INFO = pb.GetServerInfoRequest()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may call\nann {GOOD}\n")
    return path


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def code_of(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return str(caught.value.code().name)


def test_calls_without_a_known_token_are_refused(serve: Serve, tokens: Path) -> None:
    with serve(token_file=str(tokens)) as running, running.stub() as stub:
        assert stub.GetServerInfo(INFO, metadata=bearer(GOOD)).version
        assert code_of(stub.GetServerInfo, INFO) == "UNAUTHENTICATED"
        for wrong in ("", "wrong", GOOD[:-1], GOOD + "x", "two words"):
            assert code_of(stub.GetServerInfo, INFO, metadata=bearer(wrong)) == "UNAUTHENTICATED"
        with Speaking(stub) as speaking:
            assert speaking.code().name == "UNAUTHENTICATED"
        _health_passes(running)
        with pytest.raises(TokenError):
            RemoteAvatar(running.address).avatars()
        with RemoteAvatar(running.address, "eileen", token=GOOD) as ours:
            assert ours.avatars() == ["eileen"]


def _health_passes(running: Running) -> None:
    with running.channel() as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_tokens_are_read_again_when_the_file_changes(tokens: Path) -> None:
    known = TokenFile(str(tokens))
    assert (known.owner(GOOD), known.owner(LATER)) == ("ann", None)
    tokens.write_text(f"bob {LATER}\n")
    os.utime(tokens, ns=(1, 1))
    assert (known.owner(GOOD), known.owner(LATER)) == (None, "bob")
    tokens.write_text("this line is broken beyond repair\n")
    assert known.owner(LATER) == "bob", "a broken file changes nothing"
    tokens.unlink()
    assert known.owner(LATER) == "bob"


@pytest.mark.parametrize("text", ["", "ann\n", "ann short\n", "a b c\n"])
def test_a_token_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ConfigError, match="token"):
        TokenFile(str(tmp_path / "tokens"))


def test_a_token_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="TLS"):
        RemoteAvatar("example.org:50051", token=GOOD)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def write(folder: Path, authority: Authority, *, expired: bool = False) -> dict[str, str]:
    """A server's certificate, key and authority as files, and the settings that name them."""
    signed = authority.sign("server", expired=expired)
    names = {"tls_cert": signed.certificate, "tls_key": signed.key, "client_ca": authority.root}
    for name, data in names.items():
        (folder / name).write_bytes(data)
    return {name: str(folder / name) for name in names}


def secure_info(running: Running, root: bytes, client: Any = None) -> Any:
    pair = (client.key, client.certificate) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(root, *pair)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(running.address, credentials, options) as channel:
        return avatar_pb2_grpc.AvatarServiceStub(channel).GetServerInfo(INFO, timeout=20)


def test_tls_and_a_certificate_that_is_replaced(
    serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    files = write(tmp_path, authority)
    del files["client_ca"]
    other = Authority()
    with serve(**files) as running:
        assert secure_info(running, authority.root).version
        assert code_of(secure_info, running, other.root) == "UNAVAILABLE"
        with running.stub() as plain:
            assert code_of(plain.GetServerInfo, INFO) == "UNAVAILABLE"
        with RemoteAvatar(running.address, "eileen", root_certificate=authority.root) as ours:
            assert ours.server_info().version
        write(tmp_path, other)
        assert secure_info(running, other.root).version


def test_mutual_tls(serve: Serve, tmp_path: Path, authority: Authority) -> None:
    stranger = Authority().sign("stranger")
    with serve(**write(tmp_path, authority)) as running:
        assert secure_info(running, authority.root, authority.sign("ann")).version
        expired = authority.sign("late", expired=True)
        for client in (None, stranger, expired):
            assert code_of(secure_info, running, authority.root, client) == "UNAVAILABLE"
        assert secure_info(running, authority.root, authority.sign("bob")).version


def test_an_expired_server_is_not_trusted(
    serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    files = write(tmp_path, authority, expired=True)
    del files["client_ca"]
    with serve(**files) as running:
        assert code_of(secure_info, running, authority.root) == "UNAVAILABLE"
        remote = RemoteAvatar(running.address, root_certificate=authority.root, timeout_seconds=0.5)
        with pytest.raises(UnreachableError):
            remote.avatars()


def test_files_that_are_no_certificates_are_refused(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    for name in ("x", "missing"):
        path = str(tmp_path / name)
        with pytest.raises(ConfigError, match=name), serve(tls_cert=path, tls_key=path):
            pass
