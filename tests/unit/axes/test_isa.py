"""Kernels of other processors, in real interpreters."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.axes import Machine, find_axis
from pytest_repro.axes.isa import SWITCHES, _find_problems
from pytest_repro.errors import UsageError
from pytest_repro.frameworks import numpy_axes
from pytest_repro.model import JSON
from tests.unit.axes.children import Child, judge, run_child

HERE = Machine.here()
on_avx2 = pytest.mark.skipif(not {"avx2", "fma"} <= HERE.cpu_flags or not HERE.has_glibc, reason="needs AVX2 and glibc")


def machine_with(*flags: str, arch: str = "x86_64") -> Machine:
    return Machine("linux", arch, 4, frozenset(flags), ("glibc", "2.36"), True)


def run_level(level: object, before: str) -> Child:
    """Run without the switches that this environment may set already, which would hide the effect of a level."""
    return run_child({"isa": level}, before=before, unset=SWITCHES)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("machine", "levels"),
    [
        (machine_with("avx", "avx2", "fma", "avx512f"), [None, "avx2", "generic"]),
        (machine_with("avx", "avx2", "fma"), [None, "avx", "generic"]),
        (machine_with("avx"), [None, "avx", "generic"]),
        (machine_with(), [None, "generic"]),
        (machine_with(arch="aarch64"), [None, "generic"]),
    ],
)
def test_the_defaults_are_levels_that_the_processor_can_execute(machine: Machine, levels: list[str | None]) -> None:
    assert find_axis("isa").default_values(machine) == levels


@on_avx2
def test_the_lowest_level_changes_every_library() -> None:
    for framework in ("torch", "numba"):
        pytest.importorskip(framework)
    imports = "import numba, numpy, torch"
    as_is, generic = run_level(None, imports), run_level("generic", imports)
    variation = judge(as_is, generic, "isa")
    assert variation.unchanged == ()
    expected = {"libm", "numpy", "numpy matmul", "torch", "torch matmul", "torch convolution", "numba"}
    assert expected <= set(variation.varied)
    assert generic.effect.observed["torch"] == "DEFAULT"
    assert generic.effect.observed["numpy"] == "baseline only"
    assert [v for k, v in generic.effect.observed.items() if k.startswith("openblas")] == ["Nehalem"]
    assert generic.effect.problems == ()


@on_avx2
def test_two_runs_with_the_same_kernels_count_as_not_varied() -> None:
    assert judge(run_level(None, "import numpy"), run_level({}, "import numpy"), "isa").status == "not_varied"


@on_avx2
@pytest.mark.parametrize(
    ("switch", "moved"),
    [
        ({"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable"}, {"libm"}),
        ({"OPENBLAS_CORETYPE": "Nehalem"}, {"openblas", "numpy matmul"}),
        ({"OPENBLAS_CORETYPE": "Sandybridge"}, {"openblas", "numpy matmul"}),
    ],
)
def test_each_switch_changes_only_its_own_library(switch: dict[str, str], moved: set[str]) -> None:
    variation = judge(run_level(None, "import numpy"), run_level(switch, "import numpy"), "isa")
    found = {name.split(" lib")[0] for name in variation.varied}
    if int(np.__version__.partition(".")[0]) < 2:
        # On some processors its OpenBLAS gives the probe's bits with either kernel.
        found, moved = found - {"numpy matmul"}, moved - {"numpy matmul"}
    assert found == moved


@on_avx2
def test_a_switch_that_no_loaded_library_reads_counts_as_not_varied() -> None:
    # Numba is not imported: a test that uses NumPy alone must not be called independent of numba's kernels.
    switch = {"NUMBA_CPU_NAME": "nehalem"}
    assert judge(run_level(None, "import numpy"), run_level(switch, "import numpy"), "isa").status == "not_varied"


@on_avx2
@pytest.mark.parametrize(
    ("switch", "moved"),
    [
        ({"ATEN_CPU_CAPABILITY": "default"}, "torch"),
        ({"MKL_CBWR": "COMPATIBLE"}, "torch matmul"),
        ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, "torch convolution"),
    ],
)
def test_each_switch_inside_torch_is_read_back(switch: dict[str, str], moved: str) -> None:
    pytest.importorskip("torch")
    variation = judge(run_level({}, "import torch"), run_level(switch, "import torch"), "isa")
    assert moved in variation.varied


@pytest.mark.parametrize(
    ("switches", "observed", "problems"),
    [
        ({"ATEN_CPU_CAPABILITY": "avx512"}, {"torch": "AVX2"}, [("torch", "runs AVX2 kernels, not avx512")]),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, {"torch": "AVX2"}, []),
        ({"OPENBLAS_CORETYPE": "Haswell"}, {"openblas a": "Zen"}, [("openblas a", "runs Zen kernels, not Haswell")]),
        ({"OPENBLAS_CORETYPE": "Haswell"}, {"openblas a": "Haswell", "torch": "DEFAULT"}, []),
    ],
)
def test_a_library_with_other_kernels_than_requested_is_reported(
    switches: dict[str, JSON], observed: dict[str, JSON], problems: list[tuple[str, str]]
) -> None:
    assert _find_problems(switches, observed) == problems


@on_avx2
@pytest.mark.skipif("avx512f" in HERE.cpu_flags, reason="this processor has AVX-512")
def test_kernels_that_torch_does_not_use_are_reported() -> None:
    pytest.importorskip("torch")
    child = run_level({"ATEN_CPU_CAPABILITY": "avx512"}, "import torch")
    if child.effect.observed["torch"] == "AVX512":
        pytest.skip("this processor runs AVX-512 kernels, whatever its flags are")
    assert ("torch", f"runs {child.effect.observed['torch']} kernels, not avx512") in child.effect.problems


@on_avx2
def test_reading_back_imports_nothing() -> None:
    child = run_child({"isa": "generic"}, after="import sys; seen['numpy'] = 'numpy' in sys.modules")
    assert child.seen == {"numpy": False}
    assert set(child.effect.observed) == {"libm"}


@pytest.mark.skipif(not HERE.is_x86, reason="needs x86")
def test_numpy_gets_only_names_that_it_knows() -> None:
    """An unknown or a baseline name causes a warning or an import error, and `run_child` asserts that there is none."""
    known = str(run_child({}, "import numpy._core._multiarray_umath as m; seen['n'] = m.__cpu_dispatch__").seen["n"])
    child = run_child({"isa": "generic"}, "import numpy, os; seen['n'] = os.environ['NPY_DISABLE_CPU_FEATURES']")
    assert all(name in known for name in child.seen["n"].split())


@on_avx2
def test_what_the_user_has_disabled_stays_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "import os; seen['disabled'] = os.environ.get('NPY_DISABLE_CPU_FEATURES', '').split()"
    lowest = numpy_axes.find_enabled_features()[0]
    assert lowest not in run_child({"isa": "avx2"}, body, unset=SWITCHES).seen["disabled"]
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", lowest)
    assert lowest in run_child({"isa": "avx2"}, body).seen["disabled"]


def test_tunables_of_the_user_and_of_another_axis_are_kept() -> None:
    body = "import os; seen['t'] = os.environ['GLIBC_TUNABLES'].split(':')"
    if not (HERE.has_glibc and HERE.is_x86):
        pytest.skip("not glibc on x86")
    child = run_child({"isa": "generic", "memory": 0}, body, env={"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"})
    assert [part.partition("=")[0] for part in child.seen["t"]] == [
        "glibc.malloc.arena_max",
        "glibc.cpu.hwcaps",
        "glibc.malloc.tcache_count",
    ]


def test_kernels_that_would_end_the_process_are_unavailable() -> None:
    axis = find_axis("isa")
    assert "AVX-512" in (axis.unavailable_value({"OPENBLAS_CORETYPE": "SkylakeX"}, machine_with("avx2", "fma")) or "")
    assert axis.unavailable_value({"OPENBLAS_CORETYPE": "SkylakeX"}, machine_with("avx512f")) is None
    assert "lacks avx" in (axis.unavailable_value("avx2", machine_with()) or "")
    assert axis.unavailable(machine_with(arch="riscv64"))


@pytest.mark.parametrize("bad", ["sse9", "", 3, None, {"TZ": "UTC"}, {"MKL_CBWR": 1}, {"MKL_CBWR": None}])
def test_a_value_that_is_neither_level_nor_switches_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="isa"):
        find_axis("isa").validate(bad)  # type: ignore[arg-type]
