"""Threads of Arrow, Polars and DuckDB: pinned by themselves, and set by the axis `threads`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_repro.axes import AxisContext, find_axis
from pytest_repro.diagnosis.naming import Facts, name_finding
from pytest_repro.diagnosis.observing import Finding, Trial
from pytest_repro.model import Artifacts
from pytest_repro.sources.base import Observation
from pytest_repro.sources.pins import find_pin, patched_sources
from pytest_repro.sources.registry import find_source


def test_arrow_has_one_thread_when_it_is_pinned() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    before = pyarrow.cpu_count()
    pyarrow.set_cpu_count(3)
    try:
        with patched_sources(["duckdb_threads"]):
            assert pyarrow.cpu_count() == 3
        with patched_sources(["arrow_threads"]):
            assert pyarrow.cpu_count() == 1
        assert pyarrow.cpu_count() == 3
    finally:
        pyarrow.set_cpu_count(before)


def count_threads(connection: Any) -> int:
    return int(connection.execute("SELECT current_setting('threads')").fetchone()[0])


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A database that a module of the user's holds, with three threads."""
    duckdb: Any = pytest.importorskip("duckdb")
    module = ModuleType("module_with_a_database")
    module.__file__ = str(tmp_path / "module_with_a_database.py")
    module.connection = duckdb.connect(config={"threads": 3})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.connection  # type: ignore[attr-defined]


def test_every_database_of_duckdb_has_one_thread_when_it_is_pinned(database: Any) -> None:
    duckdb: Any = pytest.importorskip("duckdb")
    real = duckdb.connect
    pending = database.execute("SELECT 7")
    with patched_sources(["duckdb_threads"]):
        assert count_threads(duckdb.connect()) == 1
        assert count_threads(duckdb.connect(":memory:", config={"threads": 4})) == 1
        assert pending.fetchone() == (7,)
        assert count_threads(database) == 1
    assert count_threads(database) == 3
    assert duckdb.connect is real


def test_the_axis_threads_sets_arrow_and_duckdb(database: Any, tmp_path: Path) -> None:
    pyarrow, duckdb = pytest.importorskip("pyarrow"), pytest.importorskip("duckdb")
    before = pyarrow.cpu_count()
    axis = find_axis("threads")
    with axis.apply(5, AxisContext(tmp_path)):
        assert pyarrow.cpu_count() == 5
        assert axis.verify(5).observed["pyarrow"] == 5
        assert count_threads(duckdb.connect()) == count_threads(database) == 5
        assert count_threads(duckdb.connect(config={"threads": 2})) == 2  # what the code asks for
    assert (pyarrow.cpu_count(), count_threads(database)) == (before, 3)


def test_polars_is_pinned_by_a_variable_that_it_reads_when_it_is_imported() -> None:
    assert find_pin("pin:polars_threads").environment(True) == {"POLARS_MAX_THREADS": "1"}
    assert find_source("polars_threads").needs_interpreter


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted on Linux")
def test_the_pool_of_polars_is_counted_without_starting_it() -> None:
    pytest.importorskip("polars")
    code = """
        import polars
        from pytest_repro.frameworks.polars_axes import count_started
        before = count_started()
        polars.DataFrame({"a": range(10)}).group_by("a").len()
        print(before, count_started(), polars.thread_pool_size())
    """
    script = "\n".join(line.strip() for line in code.splitlines())
    printed = subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60)
    before, started, size = map(int, printed.split())
    # Its threads start when there is work for them, not all at once.
    assert before == 0
    assert 1 <= started <= size


@pytest.mark.parametrize(
    ("name", "library", "fix"),
    [
        ("arrow_threads", "pyarrow", "use_threads=False"),
        ("polars_threads", "polars", "POLARS_MAX_THREADS=1"),
        ("duckdb_threads", "duckdb", "connect(config={'threads': 1})"),
    ],
)
def test_the_cause_names_the_library_and_its_setting(name: str, library: str, fix: str) -> None:
    pair = Observation(Artifacts()), Observation(Artifacts())
    (cause,) = name_finding(Finding(Trial(6, 4, 4), pair, (find_source(name),)), Facts())
    assert cause.code == "race.kernel"
    assert (
        f"with one thread in {find_source(name).label.rpartition(' ')[2]}, 6 of 6 runs were identical" in cause.evidence
    )
    assert cause.evidence.endswith(f"({library})")
    assert cause.fix.startswith(fix)
