"""A test's patches, clocks and settings reach neither the capture of its results nor their comparison."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

#: Each name is replaced in two ways until the fixtures are torn down. `_D` must diverge, `_I` must be identical.
PATCHES = """
    import contextlib, copy, dataclasses, datetime, decimal, gc, hashlib, importlib, inspect, itertools, json, math, os
    import pathlib, random, re, secrets, struct, subprocess, sys, tempfile, threading, time, uuid, warnings

    import numpy as np
    import pytest

    def nothing(*args, **kwargs):
        return None

    def refuse(*args, **kwargs):
        raise RuntimeError("the test's own function was called")

    OF_NUMPY = (
        "asarray array isfinite isnan array_equal ascontiguousarray frombuffer abs subtract nonzero count_nonzero "
        "ndarray dtype zeros empty errstate seterr may_share_memory issubdtype generic float64 prod sum finfo random"
    ).split()
    PLACES = [(np, name) for name in OF_NUMPY] + [
        (np.linalg, "norm"), (np.random, "seed"), (hashlib, "sha256"), (hashlib, "blake2b"), (json, "dumps"),
        (json, "loads"), (time, "time"), (time, "perf_counter"), (time, "monotonic"), (os, "getpid"), (os, "stat"),
        (os.path, "exists"), (tempfile, "gettempdir"), (tempfile, "TemporaryDirectory"), (pathlib.Path, "exists"),
        (pathlib, "Path"), (struct, "pack"), (math, "isnan"), (re, "compile"), (warnings, "warn"), (sys, "platform"),
        (sys, "path"), (sys, "byteorder"), (gc, "disable"), (gc, "isenabled"), (threading, "Lock"),
        (dataclasses, "fields"), (dataclasses, "replace"), (secrets, "token_hex"), (importlib, "import_module"),
        (contextlib, "ExitStack"), (random, "Random"), (random, "seed"), (uuid, "uuid4"), (datetime, "datetime"),
        (subprocess, "run"), (itertools, "chain"), (copy, "copy"), (copy, "deepcopy"),
    ]
    #: pytest itself needs these between the end of a test and the teardown of its fixtures.
    OF_PYTEST = [("builtins", name) for name in (
        "open len isinstance sorted repr type id hash zip enumerate getattr hasattr dict str int list any all min max "
        "callable vars Exception __import__"
    ).split()] + [("os", "environ"), ("os", "fspath"), ("os", "getcwd"), ("sys", "modules"), ("inspect", "signature")]

    def make(repro, kind):
        differs = repro.run if kind == "D" else 0
        return {"a": np.arange(5.0) + differs, "b": {1, 2}, "c": "text", "d": [1.5, 2], "e": decimal.Decimal("1.50")}

    @pytest.mark.parametrize("value", [nothing, refuse])
    @pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
    @pytest.mark.parametrize("kind", ["D", "I"])
    @pytest.mark.reproducible
    def test_fixture(repro, monkeypatch, kind, place, value):
        results = make(repro, kind)
        monkeypatch.setattr(*place, value)
        return results

    @pytest.mark.parametrize("place", OF_PYTEST, ids=lambda place: place[1])
    @pytest.mark.parametrize("kind", ["D", "I"])
    @pytest.mark.reproducible
    def test_captured(repro, monkeypatch, kind, place):
        results = make(repro, kind)
        module = sys.modules[place[0]]
        with monkeypatch.context() as patch:
            patch.setattr(module, place[1], None)
            repro.capture("results", results)
            repro.step(0, results=results)
"""

SETTINGS = """
    import decimal, hashlib, json, locale, random, sys, time, warnings

    import numpy as np
    import pytest

    def make(repro, kind):
        differs = repro.run if kind == "D" else 0
        return {
            "a": np.arange(5.0) + differs, "b": {1, 2}, "c": np.array([np.inf, np.nan, 1e308, 5e-324]), "d": 10**5000,
            "e": decimal.Decimal("1.5E+30"), "f": [[[[[[[[1.5]]]]]]]],
        }

    @pytest.fixture
    def raising():
        before = np.seterr(all="raise")
        yield
        np.seterr(**before)

    @pytest.fixture
    def low_limit():
        before, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        sys.setrecursionlimit(depth + 70)
        yield
        sys.setrecursionlimit(before)

    @pytest.fixture
    def warnings_raise():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    @pytest.fixture
    def short_decimals():
        with decimal.localcontext() as context:
            context.prec, context.capitals, context.traps[decimal.Inexact] = 1, 0, True
            yield

    @pytest.fixture
    def short_integers():
        before = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(640)
        yield
        sys.set_int_max_str_digits(before)

    @pytest.fixture(scope="module")
    def patched_module():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np, "asarray", lambda *args, **kwargs: np.zeros(3))
            patch.setattr(hashlib, "sha256", None)
            patch.setattr(json, "dumps", lambda *args, **kwargs: "1")
            patch.setattr(time, "perf_counter", lambda: 0.0)
            patch.setattr(random, "seed", None)
            yield

    FIXTURES = ["raising", "low_limit", "warnings_raise", "short_decimals", "short_integers", "patched_module"]

    @pytest.mark.parametrize("fixture", FIXTURES)
    @pytest.mark.parametrize("kind", ["D", "I"])
    @pytest.mark.reproducible
    def test_fixture(repro, request, kind, fixture):
        request.getfixturevalue(fixture)
        return make(repro, kind)

    @pytest.mark.parametrize("kind", ["D", "I"])
    @pytest.mark.reproducible(rtol=1e-12)
    def test_figures(repro, raising, kind):
        return make(repro, kind)
"""


def wrong_verdicts(verdicts: dict[str, str]) -> dict[str, str]:
    """Return the tests whose verdict is not what the letter in their parameters says."""
    return {
        name: verdict
        for name, verdict in verdicts.items()
        if verdict != ("diverged" if "[D-" in name or "[D]" in name else "identical")
    }


def test_a_replaced_function_changes_no_verdict(sessions: Sessions) -> None:
    verdicts = sessions.run(PATCHES).verdicts
    assert len(verdicts) > 200
    assert wrong_verdicts(verdicts) == {}


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)], ids=["in process", "isolated"])
def test_settings_and_patches_of_a_wider_scope_change_no_verdict(sessions: Sessions, options: tuple[str, ...]) -> None:
    verdicts = sessions.run(SETTINGS, *options, apart=True).verdicts
    assert len(verdicts) == 14
    assert wrong_verdicts(verdicts) == {}


@pytest.mark.needs("torch")
def test_the_defaults_of_torch_change_no_verdict(sessions: Sessions) -> None:
    verdicts = sessions.run(
        """
        import pytest
        import torch

        @pytest.fixture(params=["float64", "float16", "meta", "inference"])
        def default(request):
            if request.param == "meta":
                with torch.device("meta"):
                    yield
            elif request.param == "inference":
                with torch.inference_mode():
                    yield
            else:
                torch.set_default_dtype(getattr(torch, request.param))
                yield
                torch.set_default_dtype(torch.float32)

        @pytest.mark.parametrize("kind", ["D", "I"])
        @pytest.mark.reproducible
        def test_tensors(repro, default, kind):
            made = torch.arange(3.0, device="cpu", dtype=torch.float32)
            layer = torch.nn.Linear(2, 2, device="cpu", dtype=torch.float32)
            return {"made": made + (repro.run if kind == "D" else 0), "layer": layer, "sparse": made.diag().to_sparse()}
        """,
        apart=True,
    ).verdicts
    assert len(verdicts) == 8
    assert {name for name, verdict in verdicts.items() if verdict == "diverged"} == {
        name for name in verdicts if "-D]" in name or "[D" in name
    }


@pytest.mark.needs("time_machine")
def test_a_travel_in_time_changes_no_verdict(sessions: Sessions) -> None:
    verdicts = sessions.run(
        """
        import pytest
        import time_machine

        @pytest.fixture(autouse=True)
        def past():
            with time_machine.travel("1999-01-01", tick=False):
                yield

        @pytest.mark.parametrize("kind", ["D", "I"])
        @pytest.mark.reproducible
        def test_past(repro, kind):
            return {"a": repro.run if kind == "D" else 0}
        """,
        apart=True,
    ).verdicts
    assert verdicts == {"test_past[D]": "diverged", "test_past[I]": "identical"}


def test_assertions_in_an_ordinary_test_are_not_patched_either(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import numpy as np
        import pytest
        from pytest_repro import DivergenceError, assert_close, assert_identical

        @pytest.mark.parametrize("check", [assert_identical, assert_close])
        def test_it(monkeypatch, check):
            one, other = np.zeros(3), np.ones(3)
            for name in ("asarray", "array_equal", "isfinite", "all"):
                monkeypatch.setattr(np, name, lambda *args, **kwargs: True)
            with pytest.raises(DivergenceError):
                check(one, other)
            check(one, one.copy())
        """,
        json_report=False,
    )
    assert session.outcomes == {"passed": 2}


def test_a_record_is_written_and_verified_under_patches_and_settings(sessions: Sessions) -> None:
    source = """
        import hashlib, json

        import numpy as np
        import pytest

        @pytest.fixture(autouse=True)
        def disturbed(monkeypatch):
            before = np.seterr(all="raise")
            monkeypatch.setattr(hashlib, "sha256", None)
            monkeypatch.setattr(json, "dumps", None)
            yield
            np.seterr(**before)

        @pytest.mark.reproducible
        def test_extremes():
            return {"double": np.array([1e-310, 1e308, -1e308, np.inf, np.nan]), "single": np.float32([1e-40, 3e38])}
        """
    recording = sessions.run(source, "--repro-record=records")
    assert recording.verdicts == {"test_extremes": "identical"}
    verifying = sessions.run(source, "--repro-verify=records")
    assert verifying.verdicts == {"test_extremes": "identical"}
    assert "records: 1 verified" in verifying.text
