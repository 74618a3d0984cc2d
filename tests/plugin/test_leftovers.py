"""Artifacts above the memory limit are kept on disk for the session and removed at its end."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

SPILLING = """
    import itertools
    import os
    import tempfile

    import numpy as np
    import pytest

    calls = itertools.count()

    def files():
        return [n for n in os.listdir(tempfile.gettempdir()) if n.startswith("pytest-repro")]

    @pytest.mark.reproducible(runs=4)
    def test_same(repro):
        repro.capture("big", np.ones(50_000))
        repro.capture("spilled", len(files()) > 0)
        return {"more": np.arange(50_000)}

    @pytest.mark.reproducible(runs=3)
    def test_differs():
        x = np.zeros(50_000)
        x[40_000] = next(calls)
        return x

    @pytest.mark.reproducible
    def test_changed_in_place(repro):
        x = np.zeros(50_000)
        repro.capture("before", x)
        x += repro.run
        return 1

    @pytest.mark.reproducible
    def test_fails(repro):
        repro.capture("big", np.ones(50_000))
        raise OSError

    @pytest.mark.reproducible
    def test_leaves(repro):
        repro.capture("big", np.ones(50_000))
        pytest.exit("now")
"""


@pytest.mark.parametrize("memory", ["100KB", "1GiB"])
def test_spilled_results_are_compared_and_removed(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    scratch = sessions.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    session = sessions.run(SPILLING, f"--repro-memory={memory}", apart=True)
    assert session.verdicts == {
        "test_same": "identical",
        "test_differs": "diverged",
        "test_changed_in_place": "identical",
        "test_fails": "error",
    }, session.text
    assert session.test("test_differs")["divergences"][0]["first_index"] == [40_000]
    assert list(scratch.iterdir()) == []


def test_artifacts_above_the_limit_are_kept_on_disk(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identical runs share the file of the first."""
    scratch = sessions.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    source = SPILLING.replace('repro.capture("spilled", len(files()) > 0)', "print('on disk:', len(files()))")
    for memory, used in (("100KB", "on disk: 1"), ("1GiB", "on disk: 0")):
        session = sessions.run(source, f"--repro-memory={memory}", "-s", "-k", "same", apart=True)
        assert used in session.text, session.text


def test_a_session_leaves_nothing_in_the_folder_for_temporary_files(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = sessions.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"n": [1, 2]})
        def test_axis(n):
            return 1

        @pytest.mark.reproducible
        def test_plain():
            return 1
        """,
        apart=True,
    )
    assert session.outcomes == {"passed": 2}
    assert list(scratch.iterdir()) == []
    ours = {p.name for p in sessions.folder.iterdir() if not p.name.startswith(("runpytest-", "std"))}
    assert ours - {"__pycache__"} == {"report.json", "scratch", "test_it.py"}
