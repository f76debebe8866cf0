"""``avatar bench`` gives every figure it promises, and says what they mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
import skimage.data

from avatar import Avatar, bench
from avatar.bench import Figures, Percentiles
from avatar.cli import run


@pytest.fixture(scope="module")
def person() -> Avatar:
    return Avatar.from_image(skimage.data.astronaut()[:300, 80:380])


@pytest.fixture
def figures() -> Figures:
    return Figures(
        machine=bench.machine(),
        fps_512=62.5,
        fps_1024=31.0,
        real_time_factor_512=0.4,
        first_frame_ms=104.2,
        first_frame_cold_ms=150.0,
        load_seconds=1.2,
        batched_fps_512={},
        frame_ms={name: Percentiles(1.0, 2.0, 3.0) for name in bench.STAGES},
        sessions_512_at_25fps=2,
        sessions_motion_only=210,
        memory_per_session_mb=1.0,
        memory_per_motion_session_mb=0.1,
        peak_rss_mb=512.0,
        seconds_taken=30.0,
    )


def test_the_json_has_what_is_compared_between_machines(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "measure", lambda photo, **options: figures)
    assert run(["bench", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    wanted = {
        "fps_512", "fps_1024", "first_frame_ms", "sessions_512_at_25fps", "sessions_motion_only",
        "peak_rss_mb",
    }  # fmt: skip
    assert wanted <= result.keys()
    assert set(result["frame_ms"]["draw"]) == {"p50", "p95", "p99"}
    assert result["machine"]["threads"] >= 1


def test_the_figures_are_explained_in_words(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "measure", lambda photo, **options: figures)
    assert run(["bench"]) == 0
    said = capsys.readouterr().out
    for words in ("62.5 frames a second", "104 ms", "2 live session", "210", "512 MB"):
        assert words in said


def test_what_a_gpu_draws_together_is_told(figures: Figures) -> None:
    gpu = {"batched_fps_512": {1: 210.0, 16: 1500.0, 32: 1490.0}, "machine": {"device": "GPU X"}}
    said = bench.in_words(Figures(**{**vars(figures), **gpu}))
    assert any("GPU X 16 session(s)" in line and "1500 frames" in line for line in said)
    assert len(said) == len(bench.in_words(figures)) + 1


def test_sessions_stepped_together_are_counted(person: Avatar) -> None:
    assert bench.batched_fps([person], 2, seconds=0.3, size=64) > 0


def test_a_machine_that_is_too_slow_is_told_what_to_do(figures: Figures) -> None:
    slow = Figures(**{**vars(figures), "sessions_512_at_25fps": 0})
    assert any("smaller size" in line for line in bench.in_words(slow))


def test_a_photo_without_a_face_is_an_error_like_anywhere(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert run(["bench", str(tmp_path_factory.mktemp("none") / "missing.png")]) == 3
    assert "missing.png" in capsys.readouterr().err


def test_each_part_measures_what_it_says(person: Avatar) -> None:
    assert bench.first_frame_seconds(person, size=64) > 0.08
    stages = bench.stage_seconds(person, 64, seconds=0.3)
    assert len({len(times) for times in stages.values()}) == 1
    for motion, draw, encode, whole in zip(*(stages[s] for s in bench.STAGES), strict=True):
        assert motion + draw + encode == pytest.approx(whole)
    assert bench.clip_fps(person, 64, seconds=0.3) > 0
    assert 0 < bench.memory_per_session(person, pixels=False, count=3) < 1


def test_live_sessions_speak_on_the_real_clock(person: Avatar) -> None:
    results = bench.run_live(person, 2, pixels=False, size=None, seconds=0.5)
    assert len(results) == 2
    assert all(1 <= result.frames <= 14 for result in results)


def test_the_voice_moves_the_mouth(person: Avatar) -> None:
    with person.session(pixels=False) as session:
        session.push_audio(bench.voice(3.0))
        session.flush()
        opened = [frame.blendshapes["jawOpen"] for frame in session]
    assert max(opened) > 0.1
    assert np.std(opened) > 0.02
