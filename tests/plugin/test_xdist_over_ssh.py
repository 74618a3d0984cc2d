"""pytest-xdist on another machine, as far as pytest can tell: an OpenSSH server on loopback, with files of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.helpers import Sessions
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


@pytest.fixture
def far(sessions: Sessions) -> Iterator[str]:
    """A specification of a machine that has no file of the project."""
    find_program("sshd", "openssh-server")
    find_program("ssh-keygen", "openssh-client")
    with tempfile.TemporaryDirectory(prefix="repro-ssh-") as folder, Sshd(Path(folder, "ssh")) as server:
        there = Path(folder, "there")
        there.mkdir()
        yield f"ssh=-F {server.config} far//python={sys.executable}//chdir={there}"


def compared(test: dict[str, Any]) -> dict[str, Any]:
    """Return a test of a report without its times and files, which are elsewhere."""
    return {
        **{key: test[key] for key in ("nodeid", "verdict", "seed", "divergences", "not_compared", "repeat_command")},
        "digests": [(run["index"], run["condition"], run["outcome"], run["digest"]) for run in test["runs"]],
    }


def test_the_report_is_that_of_one_process(sessions: Sessions, far: str) -> None:
    file = str(sessions.write(SOURCE))
    arguments = ("--no-repro-diagnose", file)
    alone = sessions.run(SOURCE, *arguments)
    shared = sessions.run(
        SOURCE,
        "--dist=load",
        f"--tx={far}",
        "--tx=popen",
        f"--rsyncdir={sessions.folder}",
        *arguments,
        plugins=("xdist",),
        apart=True,
    )
    assert alone.report is not None
    assert shared.report is not None, shared.text
    assert alone.report["is_finished"]
    assert shared.report["is_finished"]
    assert [compared(test) for test in shared.report["tests"]] == [compared(test) for test in alone.report["tests"]]
    assert shared.verdicts["test_counts"] == "diverged"
