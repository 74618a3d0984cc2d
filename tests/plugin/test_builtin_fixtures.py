"""pytest's own fixtures over repeated runs: nothing of one run is left in the next."""

from __future__ import annotations

from tests.plugin.helpers import Sessions


def test_each_run_has_its_own_builtin_fixtures(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import logging
        import os
        import sys
        import warnings

        import pytest

        pytestmark = pytest.mark.reproducible(runs=3)
        paths = []

        def test_capsys(capsys):
            print("one line")
            return capsys.readouterr().out

        def test_capfd(capfd):
            os.write(1, b"one line")
            return capfd.readouterr().out

        def test_caplog(caplog):
            logging.getLogger("x").warning("once")
            caplog.set_level(logging.DEBUG)
            return [record.message for record in caplog.records], caplog.text

        def test_monkeypatch(monkeypatch):
            before = os.environ.get("OF_THE_TEST", "absent")
            monkeypatch.setenv("OF_THE_TEST", "present")
            monkeypatch.syspath_prepend("somewhere")
            return before, sys.path.count(os.path.abspath("somewhere"))

        def test_tmp_path(tmp_path):
            found = [p.name for p in tmp_path.iterdir()]
            (tmp_path / "result.txt").write_text("x")
            paths.append(tmp_path)
            return found + [len(set(paths)), tmp_path.name, oct(tmp_path.stat().st_mode)]

        def test_recwarn(recwarn):
            warnings.warn("once")
            return [str(w.message) for w in recwarn]

        def test_properties(record_property, request):
            record_property("a", 1)
            return len(request.node.user_properties), len(request.node._report_sections)

        def test_request(request):
            request.node.own = getattr(request.node, "own", 0)
            request.addfinalizer(lambda: None)
            return sorted(request.fixturenames), request.node.name
        """
    )
    assert set(session.verdicts.values()) == {"identical"}, session.text
    assert session.outcomes == {"passed": 8}


def test_the_report_of_the_last_run_holds_only_the_output_of_that_run(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import logging

        import pytest

        calls = itertools.count()

        @pytest.mark.reproducible(runs=3)
        def test_differs(repro):
            print("printed by run", repro.run)
            logging.getLogger().warning("logged by run %d", repro.run)
            return next(calls)
        """
    )
    assert session.text.count("printed by run 3") == 1
    assert session.text.count("logged by run 3") == 1
    for run in (1, 2):
        assert f"printed by run {run}" not in session.text
        assert f"logged by run {run}" not in session.text
