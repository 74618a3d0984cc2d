"""All sources patched together: what is noted and pinned, and that everything is restored."""

from __future__ import annotations

import copy
import importlib.util
import os
import random
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro.axes.patches import Replacement
from pytest_repro.sources import registry
from pytest_repro.sources.pins import PATCHED, find_pin, patched_sources
from tests.unit.sources.helpers import begin_repetition, recorded


def test_everything_is_restored():
    before = [os.urandom, os.stat, os.getpid, time.time, random.seed, np.random.default_rng, random.Random.seed]
    with patched_sources(["entropy", "time", "pid", "mtime"]):
        pass
    after = [os.urandom, os.stat, os.getpid, time.time, random.seed, np.random.default_rng, random.Random.seed]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_sightings_are_at_the_users_line():
    with recorded() as seen, patched_sources():
        np.random.default_rng()
        time.time()
        os.environ.get("HOME")
    found = {entry["kind"]: entry for entry in seen.to_json()}
    assert {"entropy", "clock", "environ"} <= set(found)
    assert found["environ"]["detail"] == "HOME"
    assert found["clock"]["line"] == found["entropy"]["line"] + 1
    assert found["clock"]["file"] == __file__


def test_the_library_that_reached_a_source_is_noted_and_none_where_the_users_line_did(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "a_lib.py").write_text("import numpy as np\ndef f(): return np.random.default_rng()\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("a_lib", folder / "a_lib.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with recorded() as seen, patched_sources():
        module.f()
        np.random.default_rng()
    found = [(entry["line"], entry["library"]) for entry in seen.to_json() if entry["kind"] == "entropy"]
    assert {library for line, library in found if line == found[0][0]} == {"a_lib"}
    assert {library for line, library in found if line != found[0][0]} == {""}


def test_functions_that_numba_recognises_by_identity_stay_themselves_where_it_is_loaded(monkeypatch):
    watched = (np.argsort, np.unique, np.ascontiguousarray, np.random.seed, random.seed)
    numba = types.SimpleNamespace(jit=None, njit=None, vectorize=None)
    monkeypatch.setitem(sys.modules, "numba", numba)
    with patched_sources(["entropy"]):
        assert (np.argsort, np.unique, np.ascontiguousarray, np.random.seed, random.seed) == watched


def test_a_replacement_is_equal_to_the_real_function_and_can_be_copied():
    replacement = Replacement(random.seed, lambda *args: args)
    assert replacement == random.seed
    assert hash(replacement) == hash(random.seed)
    assert replacement == Replacement(random.seed, print)
    assert replacement != np.random.seed
    assert replacement(1, 2) == (1, 2)
    assert copy.deepcopy(Replacement(len, print)) == len
    assert replacement.__name__ == "seed"


def test_every_hidden_condition_is_found_by_its_name():
    pins = [source.pin for source in registry.SOURCES if source.pin is not None]
    assert [find_pin(pin.name) for pin in (PATCHED, *pins)] == [PATCHED, *pins]
    assert len({pin.name for pin in pins}) == len(pins) >= 6


def run_pinned(path: Path, lines: list[str], pins: list[str]) -> Any:
    """Write lines that define `run` into a file, and run that with sources pinned."""
    path.write_text("\n".join(lines))
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    begin_repetition()
    with patched_sources(pins):
        return names["run"]()


def test_a_source_is_pinned_at_one_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.py"
    lines = ["import os, time", "def run():", "    one = os.urandom(4), time.time()"]
    lines += ["    return one, (os.urandom(4), time.time())"]

    def run() -> Any:
        return run_pinned(path, lines, [f"entropy@{path}:3", f"time@{path}:4"])

    (one, other), (again, other_again) = run(), run()
    assert one[0] == again[0]
    assert other[0] != other_again[0]
    assert one[1] != again[1]
    assert other[1] == other_again[1]


STARTING = """
import os, subprocess, sys
def run():
    here = os.urandom(4)
    return here, subprocess.run([sys.executable, "-c", "import os; print(os.urandom(4))"], capture_output=True).stdout
"""


def test_a_source_that_is_pinned_at_one_line_is_not_pinned_in_started_interpreters(tmp_path: Path) -> None:
    path = tmp_path / "users.py"

    def run() -> Any:
        return run_pinned(path, STARTING.splitlines(), [f"entropy@{path}:4"])

    (here, started), (here_again, started_again) = run(), run()
    assert here == here_again
    assert started != started_again
