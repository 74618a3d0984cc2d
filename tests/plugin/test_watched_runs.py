"""Traced runs in child processes: their traces, their artifacts, and the first difference between two traces."""

from __future__ import annotations

import json

import pytest

from tests.plugin.helpers import Sessions

#: Makes two traced runs of each test, as the diagnosis does, and saves their first divergence and their artifacts.
CONFTEST = """
    import json, os, pathlib, pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(pyfuncitem):
        if "WATCHED" in os.environ:
            return None
        os.environ["WATCHED"] = "1"
        try:
            trace_two_runs(pyfuncitem)
        finally:
            del os.environ["WATCHED"]
        return True

    def trace_two_runs(item):
        from pytest_repro.diagnosis.first_divergence import TracePair
        from pytest_repro.model import Condition
        from pytest_repro.model.codec import encode
        from pytest_repro.engines.base import RunSettings
        from pytest_repro.engines.child_session import ChildSessions
        from pytest_repro.tracing.watch_job import Watch

        children = ChildSessions(item, RunSettings([], timeout_s=60), "{engine}", lambda: [str(item.path)])
        try:
            traces, names = [], []
            for number in (1, 2):
                trace = pathlib.Path(children.folder) / f"{number}.jsonl"
                answer, artifacts = children.run(number, 0, Condition(), watch=Watch(str(trace)))
                assert answer.outcome == "passed", answer.longrepr
                traces.append(trace)
                names.append(artifacts.names)
            found = TracePair(*traces, root=item.config.rootpath).find_first()
            pathlib.Path("found.json").write_text(json.dumps([encode(found), names]))
        finally:
            children.close()
"""


@pytest.mark.parametrize("engine", ["fork", "spawn"])
def test_a_child_leaves_a_trace_next_to_its_artifacts(sessions: Sessions, engine: str):
    source = """
        import secrets

        import numpy as np
        import pytest

        def make_weights():
            seed = secrets.randbits(60)
            return np.random.default_rng(seed).normal(size=3)

        @pytest.mark.reproducible
        def test_fit(repro):
            w = make_weights()
            return {"weights": w}
    """
    sessions.run(source, conftest=CONFTEST.replace("{engine}", engine), apart=True)
    found, names = json.loads((sessions.folder / "found.json").read_text())
    first = found["first"]
    assert (first["file"], first["line"], first["function"]) == ("test_it.py", 8, "make_weights")
    assert (first["name"], first["source"]) == ("seed", "seed = secrets.randbits(60)")
    assert first["callers"] == [["test_it.py", 13, "test_fit"]]
    assert found["incomplete"] == []
    assert names == [["weights"], ["weights"]]
