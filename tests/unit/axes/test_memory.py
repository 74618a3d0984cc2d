"""Content of uninitialised memory, in real interpreters."""

# ruff: noqa: PT012 - the statements before the error are part of the test
from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.engines.condition import apply_condition
from pytest_repro.errors import UsageError
from pytest_repro.frameworks import numpy_axes
from pytest_repro.model import Condition
from tests.unit.axes.children import judge, run_child

needs_glibc = pytest.mark.skipif(not Machine.here().has_glibc, reason="not glibc")

ARRAYS = """
import numpy as np
for size in (1, 3, 20, 200, 5000, 10**6):
    for _ in range(3): np.full(size, 1.5)  # leaves blocks to recycle
seen["empty"] = [sorted(set(np.empty(n).tobytes())) for n in (1, 3, 20, 200, 5000, 10**6)]
seen["like"] = sorted(set(np.empty_like(np.ones(7)).tobytes()))
seen["ndarray"] = sorted(set(np.ndarray((7,), "f4").tobytes()))
seen["zeros"] = [float(np.abs(np.zeros(n)).max()) for n in (1, 20, 5000, 10**6)]
seen["objects"] = np.empty(2, object).tolist()
seen["text"] = [str(t) for t in np.zeros(2, "U3")]
seen["sum"] = [float(np.arange(1000.0).sum()), float((np.ones(1000) @ np.ones(1000)))]
"""


@needs_glibc
@pytest.mark.parametrize("byte", [0x00, 0x7F, 0xFE])
def test_every_new_array_is_filled_and_defined_memory_is_not(byte: int) -> None:
    child = run_child({"memory": byte}, ARRAYS, before="import numpy")
    assert child.seen["empty"] == [[byte]] * 6
    assert child.seen["like"] == child.seen["ndarray"] == [byte]
    assert child.seen["zeros"] == [0.0] * 4
    assert (child.seen["objects"], child.seen["text"]) == ([None, None], ["", ""])
    assert child.seen["sum"] == [499500.0, 1000.0]
    assert child.effect.problems == ()
    assert child.effect.observed == {"malloc": f"{byte:02x}", "numpy": f"{byte:02x}"}


@needs_glibc
def test_fresh_tensors_are_filled_and_zeros_are_not() -> None:
    pytest.importorskip("torch")
    body = """
import torch
for size in (3, 200, 5000, 10**6):
    for _ in range(3): torch.full((size,), 1.5)
base = torch.ones(7)
new = [torch.empty(3), torch.empty(10**6), torch.empty_like(base), base.new_empty(5)]
new.append(torch.empty_strided((2, 2), (1, 2)))
seen["bytes"] = [sorted(set(t.numpy().tobytes())) for t in new]
seen["zeros"] = [float(torch.zeros(n).abs().max()) for n in (3, 200, 5000, 10**6)]
"""
    child = run_child({"memory": 0x7F}, body)
    assert child.seen == {"bytes": [[0x7F]] * 5, "zeros": [0.0] * 4}
    assert child.effect.observed["torch"] == "7f"


@needs_glibc
def test_two_bytes_count_as_varied_and_unfilled_memory_is_read_back_as_such() -> None:
    zero, huge, as_is = (
        run_child({"memory": value}, before="import numpy", axes=["memory"]) for value in (0, 0x7F, None)
    )
    assert judge(zero, huge, "memory").status == "varied"
    assert set(as_is.effect.observed.values()) == {"as is"}
    assert judge(as_is, huge, "memory").status == "varied"


@needs_glibc
def test_filling_is_switched_off_again_in_a_running_process(tmp_path: Path) -> None:
    with apply_condition(Condition((("memory", 0x7F),)), AxisContext(tmp_path)):
        kept = np.empty(5000)
        assert set(kept.tobytes()) == {0x7F}
    for size in (3, 20, 5000):
        np.full(size, 1.5)
        assert set(np.empty(size).tobytes()) != {0x7F}
    kept[:] = 1.0  # an array that outlives the hook is used and freed like any other
    assert kept.sum() == 5000.0
    del kept


def test_numpys_hook_survives_threads_nesting_and_errors() -> None:
    def work() -> None:
        for size in range(1, 400):
            np.empty(size).fill(1.0)

    with pytest.raises(ZeroDivisionError), numpy_axes.fill_new_arrays(1):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        with numpy_axes.fill_new_arrays(2):
            assert set(np.empty(9, np.uint8).tobytes()) == {2}
        assert set(np.empty(9, np.uint8).tobytes()) == {1}
        for thread in threads:
            thread.join()
        raise ZeroDivisionError
    np.full(9, 7, np.uint8)
    assert set(np.empty(9, np.uint8).tobytes()) != {1}


@needs_glibc
def test_arrays_that_live_until_the_process_exits_cause_no_crash() -> None:
    body = "import numpy as np, sys; sys.kept = [np.empty(n) for n in range(1, 2000)]"
    child = run_child({"memory": 0x7F}, body, before="import numpy")  # asserts a clean exit and an empty standard error
    assert child.effect.problems == ()


@needs_glibc
def test_the_users_own_setting_of_malloc_is_restored(tmp_path: Path) -> None:
    body = "from pytest_repro.axes.memory import _read_malloc as read; seen['inside'] = read()"
    after = body.replace("inside", "outside")
    child = run_child({"memory": None}, body, after=after, env={"MALLOC_PERTURB_": str(0x55 ^ 0xFF)})
    assert child.seen == {"inside": "55", "outside": "55"}
    within = run_child(
        {},
        "",
        before=(
            "import pathlib; from pytest_repro.axes import find_axis, AxisContext\n"
            "from pytest_repro.axes.memory import _read_malloc as read\n"
            "with find_axis('memory').apply(3, AxisContext(pathlib.Path('.'))): seen['inside'] = read()\n"
            "seen['outside'] = read()"
        ),
        env={"MALLOC_PERTURB_": str(0x55 ^ 0xFF)},
    )
    assert within.seen == {"inside": "03", "outside": "55"}


def test_without_glibc_the_axis_is_unavailable() -> None:
    assert "glibc" in (find_axis("memory").unavailable(Machine("darwin", "arm64", 8)) or "")


@pytest.mark.parametrize("bad", [255, 256, -1, True, "0x7f", None, 1.0])
def test_a_byte_that_malloc_cannot_fill_with_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="memory"):
        find_axis("memory").validate(bad)  # type: ignore[arg-type]


def test_the_option_reads_bytes_in_hexadecimal() -> None:
    assert find_axis("memory").parse("0x7f") == 0x7F
