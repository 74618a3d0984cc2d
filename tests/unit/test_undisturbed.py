"""The plugin's own code, apart from what a test has patched or set."""

from __future__ import annotations

import builtins
import decimal
import hashlib
import json
import pathlib
import sys
import threading
import time
import types
import warnings
from typing import Any

import numpy as np
import pytest

from pytest_repro.undisturbed import (
    Undisturbed,
    between_phases,
    phase,
    read_stopwatch,
    remember,
    remembered,
    undisturbed,
    was_replaced,
)

REAL = hashlib.sha256


class Incomparable:
    """Like an array: its comparison with anything has no truth value."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (np, "asarray"),
        (np.linalg, "norm"),
        (hashlib, "sha256"),
        (json, "dumps"),
        (json.encoder, "JSONEncoder"),
        (builtins, "open"),
        (builtins, "len"),
        (builtins, "isinstance"),
        (time, "time"),
        (pathlib.Path, "exists"),
        (type(pathlib.Path()), "exists"),
        (sys, "platform"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize("value", [None, Incomparable(), "text"], ids=["None", "incomparable", "text"])
def test_a_patch_is_undone_inside_and_in_place_again_after(owner: Any, name: str, value: object) -> None:
    real = getattr(owner, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        with Undisturbed():
            inside = getattr(owner, name)
        after = getattr(owner, name)
    assert inside is real
    assert after is value
    assert getattr(owner, name) is real


def test_a_function_that_the_test_removed_is_there_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(hashlib, "sha256")
    with Undisturbed():
        assert hashlib.sha256 is REAL
    assert not hasattr(hashlib, "sha256")


def test_a_library_that_the_test_hid_is_there_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with Undisturbed():
        assert sys.modules["numpy"] is np
    assert sys.modules["numpy"] is None  # type: ignore[comparison-overlap]


def test_a_name_that_the_test_added_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "of_the_test", 1, raising=False)
    with Undisturbed():
        assert np.of_the_test == 1  # type: ignore[attr-defined]


def test_contexts_may_be_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "sha256", None)
    with Undisturbed():
        with Undisturbed():
            assert hashlib.sha256 is REAL
        assert hashlib.sha256 is REAL
    assert hashlib.sha256 is None


def test_a_thread_that_leaves_first_does_not_disturb_another(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, may_leave = threading.Event(), threading.Event()
    seen: list[object] = []

    def capture() -> None:
        with Undisturbed():
            entered.set()
            may_leave.wait(10)
            seen.append(hashlib.sha256)

    monkeypatch.setattr(hashlib, "sha256", None)
    thread = threading.Thread(target=capture)
    thread.start()
    entered.wait(10)
    with Undisturbed():
        pass
    may_leave.set()
    thread.join()
    assert seen == [REAL]
    assert hashlib.sha256 is None


def test_an_error_leaves_everything_as_the_test_had_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @undisturbed
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hashlib, "sha256", None)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert hashlib.sha256 is None


def test_a_session_remembers_what_was_there_when_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None: ...

    monkeypatch.setattr(hashlib, "sha256", other)
    with remembered():
        monkeypatch.setattr(hashlib, "sha256", None)
        with Undisturbed():
            assert hashlib.sha256 is other  # type: ignore[comparison-overlap]
    with Undisturbed():
        assert hashlib.sha256 is REAL


def test_a_module_that_was_loaded_later_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    late = types.ModuleType("pytest_repro_late_user")
    vars(late)["used"] = used = types.ModuleType("late_library")
    vars(used)["function"] = real = object()
    monkeypatch.setitem(sys.modules, "late_library", used)
    monkeypatch.setitem(sys.modules, "pytest_repro_late_user", late)
    with remembered():
        remember()
        monkeypatch.setattr(used, "function", None)
        with Undisturbed():
            assert used.function is real


def test_what_the_test_replaced_is_known_inside_and_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not was_replaced(hashlib, "sha256", REAL)
    monkeypatch.setattr(hashlib, "sha256", None)
    assert was_replaced(hashlib, "sha256", REAL)
    with Undisturbed():
        assert was_replaced(hashlib, "sha256", REAL)
        assert not was_replaced(hashlib, "md5", hashlib.md5)


def test_each_of_several_patches_in_turn_is_seen_once_versions_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Python 3.11 a module whose namespace has not changed is passed over."""
    remember()
    with Undisturbed():
        pass
    for name in ("sha256", "sha512", "sha256"):
        real = getattr(hashlib, name)
        with monkeypatch.context() as patch:
            patch.setattr(hashlib, name, "patched")
            for _ in range(2):
                with Undisturbed():
                    assert getattr(hashlib, name) is real
                assert getattr(hashlib, name) == "patched"
        with Undisturbed():
            assert getattr(hashlib, name) is real


def test_between_the_phases_of_a_test_patches_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_real() -> bool:
        with Undisturbed():
            return hashlib.sha256 is REAL

    # Other tests may have left something patched, which would be looked for each time.
    with remembered(), between_phases():
        assert is_real()
        # As no code of a test does there.
        monkeypatch.setattr(hashlib, "sha256", "patched")
        assert not is_real()
        with phase():
            assert is_real()
        assert is_real()
    assert is_real()


def test_a_patch_that_a_phase_leaves_is_undone_as_long_as_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with between_phases():
        with Undisturbed():
            pass
        with phase():
            monkeypatch.setattr(hashlib, "sha256", "patched")
        for _ in range(3):
            with Undisturbed():
                assert hashlib.sha256 is REAL


def test_an_error_state_that_raises_is_not_in_force_inside() -> None:
    with np.errstate(all="raise"):
        with Undisturbed():
            assert np.isnan(np.array(np.inf) - np.inf)
        with pytest.raises(FloatingPointError):
            np.array(np.inf) - np.inf


def test_warnings_are_no_errors_inside_and_are_counted_as_before() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Undisturbed():
            warnings.warn("unseen", stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("seen", stacklevel=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            with Undisturbed():
                warnings.warn("unseen", stacklevel=1)
            warnings.warn("once", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["once"]


def test_limits_and_contexts_are_the_defaults_inside() -> None:
    limit, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    with decimal.localcontext() as context:
        context.prec = 1
        try:
            sys.setrecursionlimit(depth + 50)
            sys.set_int_max_str_digits(640)
            with Undisturbed():
                assert sys.getrecursionlimit() >= 1000
                assert len(str(10**1000)) == 1001
                assert decimal.getcontext().prec == 28
            assert (sys.getrecursionlimit(), sys.get_int_max_str_digits()) == (depth + 50, 640)
            assert decimal.getcontext().prec == 1
        finally:
            sys.setrecursionlimit(limit)
            sys.set_int_max_str_digits(digits)


def test_settings_can_be_left_for_code_that_reads_them() -> None:
    with np.errstate(all="raise"), Undisturbed(keeps_settings=True):
        assert np.geterr()["invalid"] == "raise"


def test_the_stopwatch_reads_the_real_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    assert read_stopwatch() > 0


def test_the_defaults_of_torch_are_in_force_inside() -> None:
    torch: Any = pytest.importorskip("torch")
    try:
        torch.set_default_dtype(torch.float16)
        with torch.inference_mode(), torch.device("meta"):
            with Undisturbed():
                made = torch.ones(2)
                assert (made.dtype, made.device.type, made.is_inference()) == (torch.float32, "cpu", False)
            made = torch.ones(2)
            assert (made.dtype, made.device.type, made.is_inference()) == (torch.float16, "meta", True)
    finally:
        torch.set_default_dtype(torch.float32)
