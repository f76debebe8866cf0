"""What ``avatar train prepare`` kept, left out, and why: as JSON and as a table to read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from avatar.training.clip_quality import Figures
from avatar.training.lip_offset import LipOffset

_SHOWN = 30


@dataclass(frozen=True)
class Piece:
    """One clip, or the part of one between two cuts.

    Attributes:
        name: of the shard; ``identity``: the person.
        path: of the clip; ``frames``: half-open range in it.
        figures: of the picture; None where the clip could not be read.
        faults: why it was dropped; empty if it was kept.
        voice_share: of its sound; ``mute``: why the sound was left out, empty if it was not.
        offset: of picture and sound; ``corrected``: seconds of it that were taken out.
    """

    name: str
    identity: str
    path: Path = Path()
    frames: tuple[int, int] = (0, 0)
    figures: Figures | None = None
    faults: list[str] = field(default_factory=list)
    voice_share: float = 0.0
    mute: str = ""
    offset: LipOffset = field(default_factory=LipOffset)
    corrected: float = 0.0

    @property
    def kept(self) -> bool:
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """For JSON; no place of this machine is in it."""
        return {
            "name": self.name, "identity": self.identity, "clip": self.path.name,
            "frames": list(self.frames), "kept": self.kept, "faults": self.faults,
            "sound": not self.mute and self.kept, "mute": self.mute,
            "voice_share": self.voice_share,
            "sync": asdict(self.offset) | {"corrected_seconds": self.corrected},
            "figures": asdict(self.figures) if self.figures else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All pieces of a run, by name."""

    pieces: list[Piece]

    @property
    def kept(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.kept]

    @property
    def dropped(self) -> list[Piece]:
        return [piece for piece in self.pieces if not piece.kept]

    def summary(self) -> dict[str, Any]:
        """Counts, hours and reasons."""
        heard = [piece for piece in self.kept if not piece.mute]
        moved = [1000 * piece.corrected for piece in heard if piece.offset.verdict == "sure"]
        return {
            "pieces": len(self.pieces), "kept": len(self.kept), "dropped": len(self.dropped),
            "people": len({piece.identity for piece in self.kept}),
            "minutes": _minutes(self.kept), "minutes_with_speech": _minutes(heard),
            "why_dropped": _reasons(fault for piece in self.dropped for fault in piece.faults),
            "why_without_sound": _reasons(piece.mute for piece in self.kept if piece.mute),
            "sync": dict(Counter(piece.offset.verdict for piece in heard)),
            "corrected_milliseconds": dict(zip(
                ("p5", "median", "p95"), np.percentile(moved, (5, 50, 95)).round(1).tolist(),
                strict=True,
            )) if moved else None,
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write all of it as JSON, whole or not at all."""
        partial = path.with_name(path.name + ".part")
        content = {"summary": self.summary(), "clips": [piece.as_dict() for piece in self.pieces]}
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

    def table(self) -> Table:
        """The pieces, dropped ones first; at most 30 of each kind."""
        table = Table("clip", "kept", "s", "face px", "sharp", "sync ms", "voice", "why not")
        for some in (self.dropped, self.kept):
            for piece in some[:_SHOWN]:
                table.add_row(*_row(piece))
            if len(some) > _SHOWN:
                table.add_row(f"… {len(some) - _SHOWN} more in report.json")
        return table


def _row(piece: Piece) -> tuple[str, ...]:
    figures = piece.figures or Figures(0, 0, 0, 1)
    offset = f"{1000 * piece.offset.seconds:+.0f}" if piece.offset.verdict == "sure" else "–"
    why = "; ".join(piece.faults) or (f"no sound: {piece.mute}" if piece.mute else "")
    return (
        piece.name, "yes" if piece.kept else "no", f"{figures.seconds:.1f}",
        f"{figures.face_pixels:.0f}", f"{figures.sharpness:.3f}", offset,
        f"{piece.voice_share:.0%}", why,
    )  # fmt: skip


def _minutes(pieces: list[Piece]) -> float:
    return round(sum(piece.figures.seconds for piece in pieces if piece.figures) / 60, 2)


def _reasons(words: Any) -> dict[str, int]:
    """How often each, without the figures that follow a colon or a number."""
    plain = (text.split(":")[0].split(" in ")[0].strip() for text in words)
    return dict(Counter(plain).most_common())
