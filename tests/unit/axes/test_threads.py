"""Pools of threads, in real interpreters."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.axes.native import find_pools
from pytest_repro.engines.condition import apply_condition, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition
from tests.unit.axes.children import judge, run_child


@pytest.mark.parametrize(("cores", "above"), [(1, 3), (2, 3), (3, 5), (4, 5), (7, 9), (8, 9), (64, 65)])
def test_the_defaults_end_with_an_odd_number_above_the_cores(cores: int, above: int) -> None:
    assert find_axis("threads").default_values(Machine("linux", "x86_64", cores)) == [1, 2, above]


def test_every_pool_of_numpy_torch_and_numba_follows_and_is_put_back() -> None:
    for framework in ("torch", "numba", "threadpoolctl"):
        pytest.importorskip(framework)
    read = """
import numba, numpy, threadpoolctl, torch
pools = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]
seen[KEY] = [torch.get_num_threads(), numba.get_num_threads(), *pools]
"""
    imports = "import numba, numpy, torch"
    three = run_child(
        {"threads": 3},
        read.replace("KEY", "'inside'"),
        before=imports,
        after="import torch; seen['after'] = torch.get_num_threads()",
    )
    assert set(three.seen["inside"]) == {3}
    assert three.effect.problems == ()
    one = run_child({"threads": 1}, read.replace("KEY", "'inside'"), before=imports)
    assert set(one.seen["inside"]) == {1}
    variation = judge(one, three, "threads")
    assert variation.status == "varied"
    assert {"torch", "numba"} <= set(variation.varied)


def test_a_library_that_the_run_itself_loads_gets_the_count() -> None:
    child = run_child({"threads": 1}, "import numpy")
    assert set(child.effect.observed.values()) == {1}
    assert any(component.startswith("openblas") for component in child.effect.observed) or not find_pools()


def test_a_pool_that_the_run_changes_is_told() -> None:
    pytest.importorskip("torch")
    child = run_child({"threads": 1}, "import torch; torch.set_num_threads(2)")
    assert ("torch", "has 2 threads, not 1") in child.effect.problems


def test_a_process_without_any_such_library_was_not_varied() -> None:
    one, three = run_child({"threads": 1}), run_child({"threads": 3})
    variation = judge(one, three, "threads")
    assert variation.status == "not_varied"
    assert "nothing that obeys it was loaded" in variation.describe()


def test_pools_of_this_process_are_set_and_put_back(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    before = {pool.name: pool.get_threads() for pool in find_pools()}
    condition = Condition((("threads", 3),))
    with apply_condition(condition, AxisContext(tmp_path)):
        # numba, which another test may have imported here, fixes its limit when it is imported.
        assert {name for name, _ in verify_condition(condition, ["threads"])[0].problems} <= {"numba"}
    # Starting numba's threads loads an OpenMP runtime of its own, which had no count before.
    assert {pool.name: pool.get_threads() for pool in find_pools() if pool.name in before} == before


def test_numba_imported_with_fewer_threads_cannot_be_raised_and_that_is_told() -> None:
    pytest.importorskip("numba")
    before = "import os; os.environ['NUMBA_NUM_THREADS'] = '2'; import numba.np.ufunc.parallel"
    child = run_child({"threads": 3}, before=before)
    assert child.effect.observed["numba"] == 2
    assert "NUMBA_NUM_THREADS at its import" in dict(child.effect.problems)["numba"]


def test_numba_still_compiles_once_its_threads_have_started() -> None:
    pytest.importorskip("numba")
    before = "import os; os.environ['NUMBA_NUM_THREADS'] = '2'; import numba; numba.get_num_threads()"
    body = "import numba, warnings\nwarnings.simplefilter('ignore')\n"
    body += "seen['two'] = numba.njit(parallel=True)(lambda x: x + 1)(1)"
    assert run_child({"threads": 1}, body, before=before).seen == {"two": 2}


def test_mkl_and_openmp_may_not_use_fewer_than_asked() -> None:
    environment = find_axis("threads").environment(3)
    assert (environment["MKL_DYNAMIC"], environment["OMP_DYNAMIC"], environment["OMP_NUM_THREADS"]) == (
        "FALSE",
        "FALSE",
        "3",
    )
    assert find_axis("threads").environment(None) == {}


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "2", None, 10**6])
def test_what_is_no_number_of_threads_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="threads"):
        find_axis("threads").validate(bad)  # type: ignore[arg-type]
