"""Settings: where they come from, which one wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.cli import run
from avatar.errors import ConfigError
from avatar.serving.check import check
from avatar.serving.config import ServerConfig, load_config, parse_setting


def test_the_file_then_the_environment_then_flags(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("port = 1\nmax_sessions = 2\nworkers = 3\nidle_timeout_seconds = 9\n")
    environment = {"AVATAR_SERVE_MAX_SESSIONS": "20", "AVATAR_SERVE_WORKERS": "30", "HOME": "/"}
    config = load_config(path, environment=environment, flags={"workers": 300, "host": None})
    assert (config.port, config.max_sessions, config.workers) == (1, 20, 300)
    assert (config.idle_timeout_seconds, config.host) == (9, "127.0.0.1")


def test_an_unknown_name_is_told_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("max_sesions = 2\n")
    with pytest.raises(ConfigError, match="max_sessions"):
        load_config(path, environment={})
    with pytest.raises(ConfigError, match="metrics_port"):
        load_config(environment={"AVATAR_SERVE_METRIC_PORT": "1"})
    with pytest.raises(ConfigError, match="token_file"):
        parse_setting("tokenfile=x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000}, {"workers": 0}, {"max_sessions": -1}, {"max_audio_ahead_seconds": 0.0},
        {"tls_cert": "x"}, {"client_ca": "x"}, {"log_level": "loud"}, {"port": "50051"},
        {"reflection": 1}, {"workers": 2, "port": 0}, {"idle_timeout_seconds": float("nan")},
        {"max_sessions": True},
    ],
)  # fmt: skip
def test_impossible_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ServerConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["max_sessions", "max_sessions=many", "reflection=maybe"])
def test_impossible_flags_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_setting(text)


@given(st.text())
def test_any_file_is_settings_or_an_error(text: str) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".toml") as file:
        file.write(text)
        file.flush()
        try:
            load_config(file.name, environment={})
        except ConfigError:
            return


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone"):
        load_config(tmp_path / "gone.toml")


def test_an_open_door_is_warned_of() -> None:
    assert ServerConfig().warnings() == []
    assert len(ServerConfig(host="0.0.0.0").warnings()) == 2
    guarded = ServerConfig(host="0.0.0.0", tls_cert="a", tls_key="b", client_ca="c")
    assert guarded.warnings() == []


def test_check_tries_what_a_server_needs(avatars: Path, tmp_path: Path) -> None:
    well = check(ServerConfig(avatars=str(avatars)))
    assert all(finding.ok for finding in well)
    missing = tmp_path / "typo"
    found = {f.name: f for f in check(ServerConfig(avatars=str(missing)))}
    assert found["server"].ok
    assert f"no folder {missing}" in found["avatars"].words
    assert not missing.exists()
    (tmp_path / "broken.avatar").write_bytes(b"no avatar")
    found = {f.name: f for f in check(ServerConfig(avatars=str(tmp_path), token_file="gone"))}
    assert not found["server"].ok
    assert not found["avatars"].ok
    assert "broken.avatar" in found["avatars"].words


def test_the_command_refuses_an_unknown_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--set", "max_sesions=1"]) == ConfigError.exit_code
    assert "max_sessions" in capsys.readouterr().err
