"""Thread pools, in real interpreters."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis, native
from pytest_repro.axes.native import find_pools
from pytest_repro.engines.condition import apply_condition, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition
from tests.unit.axes.children import judge, run_child


@pytest.mark.parametrize(("cores", "above"), [(1, 3), (2, 3), (3, 5), (4, 5), (7, 9), (8, 9), (64, 65)])
def test_the_defaults_end_with_an_odd_number_above_the_cores(cores: int, above: int) -> None:
    assert find_axis("threads").default_values(Machine("linux", "x86_64", cores)) == [1, 2, above]


def test_every_pool_of_numpy_torch_and_numba_is_set_and_restored() -> None:
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


def test_a_library_that_the_run_itself_loads_gets_the_number_of_threads() -> None:
    child = run_child({"threads": 1}, "import numpy")
    assert set(child.effect.observed.values()) == {1}
    assert any(component.startswith("openblas") for component in child.effect.observed) or not find_pools()


def test_a_pool_that_the_run_changes_is_reported() -> None:
    pytest.importorskip("torch")
    child = run_child({"threads": 1}, "import torch; torch.set_num_threads(2)")
    assert ("torch", "has 2 threads, not 1") in child.effect.problems


def test_a_process_without_any_such_library_was_not_varied() -> None:
    one, three = run_child({"threads": 1}), run_child({"threads": 3})
    variation = judge(one, three, "threads")
    assert variation.status == "not_varied"
    assert "nothing that obeys it was loaded" in variation.describe()


def test_pools_of_this_process_are_set_and_restored(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    before = {pool.name: pool.get_threads() for pool in find_pools()}
    condition = Condition((("threads", 3),))
    with apply_condition(condition, AxisContext(tmp_path)):
        # numba and polars, which another test may have imported here, fix their limits when they are imported.
        assert {name for name, _ in verify_condition(condition, ["threads"])[0].problems} <= {"numba", "polars"}
    # Starting numba's threads loads an OpenMP runtime of its own, which had no count before.
    assert {pool.name: pool.get_threads() for pool in find_pools() if pool.name in before} == before


def test_a_limit_of_numba_at_its_import_is_reported() -> None:
    pytest.importorskip("numba")
    before = "import os; os.environ['NUMBA_NUM_THREADS'] = '2'; import numba.np.ufunc.parallel"
    child = run_child({"threads": 3}, before=before)
    assert child.effect.observed["numba"] == 2
    assert "NUMBA_NUM_THREADS at its import" in dict(child.effect.problems)["numba"]


def test_numba_still_compiles_after_its_threads_have_started() -> None:
    pytest.importorskip("numba")
    before = "import os; os.environ['NUMBA_NUM_THREADS'] = '2'; import numba; numba.get_num_threads()"
    body = "import numba, warnings\nwarnings.simplefilter('ignore')\n"
    body += "seen['two'] = numba.njit(parallel=True)(lambda x: x + 1)(1)"
    assert run_child({"threads": 1}, body, before=before).seen == {"two": 2}


def test_openmp_and_mkl_use_as_many_threads_as_requested_even_above_the_cores() -> None:
    pytest.importorskip("torch")
    count = Machine.here().cores + 1
    body = "import re, torch; seen['counts'] = re.findall(r'(?:omp|mkl)_get_max_threads.*: (.+)', PARALLEL)"
    body = body.replace("PARALLEL", "torch.__config__.parallel_info()")
    dynamic = {"OMP_DYNAMIC": "TRUE", "MKL_DYNAMIC": "TRUE"}
    child = run_child({"threads": count}, body, env=dynamic)
    assert set(child.seen["counts"]) <= {str(count), "N/A"}
    assert str(count) in child.seen["counts"]
    assert set(run_child({"threads": None}, body, env=dynamic).seen["counts"]) != {str(count)}


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "2", None, 10**6])
def test_a_value_that_is_not_a_number_of_threads_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="threads"):
        find_axis("threads").validate(bad)  # type: ignore[arg-type]


def test_the_memory_map_is_read_with_any_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]",
        "7f0000000000-7f0000001000 r-xp 00000000 08:01 42                         /opt/lib one\x0c\x85.so (deleted)",
        "7f0000001000-7f0000002000 rw-p 00000000 00:00 0 ",
        "",
    ]
    (tmp_path / "maps").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(native, "_MAPS", tmp_path / "maps")
    assert native.read_memory_map() == [
        (0x55D0C0000000, 0x55D0C0021000, ""),
        (0x7F0000000000, 0x7F0000001000, "/opt/lib one\x0c\x85.so"),
        (0x7F0000001000, 0x7F0000002000, ""),
    ]
