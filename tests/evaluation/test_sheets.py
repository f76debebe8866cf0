"""The sheet and the plot are made from real photos and sound, and refuse what they cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar import Avatar, Clip, load_audio
from avatar.evaluation import sheet, sync
from avatar.evaluation.lips import lip_opening


@pytest.fixture(scope="module")
def words(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second and a half of the example voice, with speech and silence in it."""
    import soundfile

    voice = load_audio(repository / "examples" / "hello.wav")
    path = tmp_path_factory.mktemp("words") / "words.wav"
    soundfile.write(path, voice.samples[: voice.sample_rate * 3 // 2], voice.sample_rate)
    return path


@pytest.fixture(scope="module")
def clip(repository: Path, words: Path) -> Clip:
    return Avatar.from_image(repository / "examples" / "grace_hopper.jpg").speak(words, size=256)


def test_moments_alternate_between_the_widest_and_the_most_closed(clip: Clip) -> None:
    openings = [lip_opening(frame.landmarks) for frame in clip]
    moments = sheet.chosen(clip, 4)
    edges = np.linspace(0, len(openings), 5).astype(int)
    for part, frame in enumerate(moments):
        inside = openings[edges[part] : edges[part + 1]]
        wanted = max(inside) if part % 2 == 0 else min(inside)
        assert edges[part] <= frame.index < edges[part + 1]
        assert lip_opening(frame.landmarks) == wanted


def test_there_are_never_more_moments_than_frames(clip: Clip) -> None:
    assert [frame.index for frame in sheet.chosen(clip, 1000)] == list(range(len(clip)))


def test_sheet_command(repository: Path, words: Path, tmp_path: Path) -> None:
    photos = [str(repository / "examples" / name) for name in ("astronaut.jpg", "grace_hopper.jpg")]
    out = tmp_path / "sheet.png"
    arguments = [*photos, "--audio", str(words), "-o", str(out), "--moments", "3"]
    assert sheet.main(arguments) == 0
    with Image.open(out) as page:
        assert page.size == (256 * 4, 2 * (2 * 256 + 16))


def test_plot_of_a_photo_and_of_the_video_made_from_it(
    repository: Path, words: Path, clip: Clip, tmp_path: Path
) -> None:
    """The drawn mouth and the mouth measured in the written video follow the same voice."""
    pytest.importorskip("matplotlib")
    photo = repository / "examples" / "grace_hopper.jpg"
    video = clip.save(tmp_path / "clip.mp4")
    for source in ([str(photo), str(words)], [str(video)], [str(video), str(words)]):
        out = tmp_path / "plot.png"
        assert sync.main([*source, "-o", str(out)]) == 0
        with Image.open(out) as page:
            assert page.width > 600
    track = sync.measured(video)
    assert len(track.opening) == len(clip)
    assert track.fps == 25


def test_what_cannot_be_used_ends_with_its_exit_code(
    repository: Path, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(repository / "examples" / "astronaut.jpg")
    gone = str(tmp_path / "gone.jpg")
    out = str(tmp_path / "out.png")
    assert sheet.main([gone, "--audio", str(words), "-o", out]) == 3
    assert "gone.jpg: no such file" in capsys.readouterr().err
    assert sync.main([photo, "-o", out]) == 3
    assert "needs a sound file" in capsys.readouterr().err
    assert sync.main([photo, str(words), "-o", str(tmp_path / "plot.unknown")]) == 12
    assert "could not be written" in capsys.readouterr().err
    assert sync.main([str(tmp_path / "gone.mp4"), "-o", out]) == 5
    assert [path.name for path in tmp_path.iterdir()] == []
