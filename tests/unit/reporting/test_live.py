"""The live line without a terminal. With one it is in tests/plugin/test_terminals.py."""

from __future__ import annotations

import threading

import pytest

from pytest_repro.reporting.live import LiveLine, _shortened


def test_without_a_terminal_it_does_nothing_at_all(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    before = threading.active_count()
    line = LiveLine(request.config)
    line.show("t.py::test_it", "run 1 of 2")
    line.clear()
    line.close()
    line.close()
    assert threading.active_count() == before


def test_of_a_line_that_does_not_fit_the_end_is_kept() -> None:
    line = " test_of_a_long_name[and-parameters]: diagnosing: clock pinned, 5 of about 20, 9 of 30 s CPU"
    assert _shortened(line, 100) == line
    assert len(_shortened(line, 60)) == 60
    assert _shortened(line, 60).endswith("clock pinned, 5 of about 20, 9 of 30 s CPU")
    assert _shortened(line, 60).startswith(" ...")
