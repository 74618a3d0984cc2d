"""pytest-xdist on another machine, as far as pytest can tell: an OpenSSH server on loopback, with files of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.plugin.hosts import find_program
from tests.plugin.sshd import Sshd

pytestmark = pytest.mark.needs("xdist")

SOURCE = """
    import itertools
    import pytest

    COUNTER = itertools.count()

    @pytest.mark.reproducible(runs=3)
    @pytest.mark.parametrize("n", range(6))
    def test_draw(repro, n):
        return {"drawn": repro.rng.random(5), "n": n}

    @pytest.mark.reproducible
    def test_counts(repro):
        return {"counted": next(COUNTER) > 0}
"""


def run(file: Path, *arguments: str) -> dict[str, Any]:
    """Run pytest in the file's folder, and return its report."""
    report = file.parent.parent / "report.json"
    report.unlink(missing_ok=True)
    plugins = ("-p", "no:cacheprovider", "-p", "no:randomly")
    # A file by its whole path, without which pytest-xdist sends nothing.
    command = [sys.executable, "-m", "pytest", *plugins, "--no-repro-diagnose", f"--repro-json={report}", str(file)]
    done = subprocess.run(
        [*command, *arguments], cwd=file.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert found["is_finished"]
    return found


def compared(test: dict[str, Any]) -> dict[str, Any]:
    """Return a test of a report without its times and files, which are elsewhere."""
    return {
        **{key: test[key] for key in ("nodeid", "verdict", "seed", "divergences", "not_compared", "repeat_command")},
        "digests": [(run["index"], run["condition"], run["outcome"], run["digest"]) for run in test["runs"]],
    }


def test_the_report_is_that_of_one_process(tmp_path: Path) -> None:
    find_program("sshd", "openssh-server")
    find_program("ssh-keygen", "openssh-client")
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "here" / "test_it.py"
    file.write_text(dedent(SOURCE), encoding="utf-8")
    (tmp_path / "here" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    alone = run(file)
    with Sshd(tmp_path / "ssh") as server:
        far = f"ssh=-F {server.config} far//python={sys.executable}//chdir={tmp_path / 'there'}"
        shared = run(file, "--dist=load", f"--tx={far}", "--tx=popen", f"--rsyncdir={file.parent}")
    assert [compared(test) for test in shared["tests"]] == [compared(test) for test in alone["tests"]]
    assert {test["verdict"] for test in shared["tests"]} == {"identical", "diverged"}
