"""A short run of the fuzzer, where atheris is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integrations.peers import peer

# libFuzzer bounds the most memory a process has had, and a program that pytest starts itself is
# given pytest's own (Linux keeps it through exec): the shell between them begins anew.
_SHELL = ("sh", "-c", '"$@"; exit $?', "sh")


def test_a_thousand_inputs_find_nothing(tmp_path: Path) -> None:
    """The same every time; a long run is ``tests/serving/fuzz.py -max_total_time=300``."""
    python = peer("atheris")
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [*_SHELL, python, script, "-runs=1000", "-seed=1", f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 1000 runs" in done.stderr
    assert "cov:" in done.stderr
