"""Round trips: precision, dtype, memory order and lost values are distinguished."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_roundtrip
from pytest_repro.errors import MissingExtraError

STATE = {"w": np.random.default_rng(0).standard_normal((3, 4)), "n": np.arange(5), "name": np.array(["a", "bc"])}


def test_npz_keeps_arrays_of_any_layout():
    shown = assert_roundtrip({**STATE, "f": np.asfortranarray(STATE["w"]), "s": STATE["w"][::2, ::-1]}, "npz")
    assert shown.verdict == "identical"


def save_text(value, path):
    path.write_text(json.dumps({name: [f"{x:.6g}" for x in a] for name, a in value.items()}))


def load_text(path):
    return {name: np.array(row, float) for name, row in json.loads(path.read_text()).items()}


def test_six_digits_of_text_lose_values_and_hexadecimal_keeps_them():
    value = {"x": np.array([0.1, 1 / 3])}
    with pytest.raises(DivergenceError, match=r"cause +roundtrip.values"):
        assert_roundtrip(value, save=save_text, load=load_text)
    exact = {"x": np.array([0.5, 0.25])}
    assert assert_roundtrip(exact, save=save_text, load=load_text)


def through(change):
    """Return save and load with a change in between."""

    def save(value, path):
        with path.open("wb") as file:
            np.savez(file, **change(value))

    def load(path):
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}

    return {"save": save, "load": load}


def transposed_in_memory(value):
    w = np.asfortranarray(value["w"])
    return {**value, "w": w.ravel(order="K").reshape(w.shape)}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            lambda v: {**v, "w": v["w"].astype(np.float32).astype(float)},
            "roundtrip.precision: .* to float32",
        ),
        (lambda v: {**v, "w": v["w"].astype(np.float32)}, "roundtrip.dtype"),
        (lambda v: {"w": v["w"]}, "roundtrip.lost"),
        (transposed_in_memory, "roundtrip.layout"),
        (lambda v: {**v, "n": v["n"] + 1}, "roundtrip.values"),
    ],
    ids=["precision", "dtype", "lost", "layout", "values"],
)
def test_each_fault_is_named(change, cause):
    value = {**STATE, "w": np.asfortranarray(STATE["w"])}
    with pytest.raises(DivergenceError, match=f"cause +{cause}"):
        assert_roundtrip(value, **through(change))
    assert assert_roundtrip(value, **through(lambda v: v)).verdict == "identical"


def test_predictions_are_compared_as_well():
    with pytest.raises(DivergenceError, match="predictions"):
        assert_roundtrip(
            STATE, "npz", predict=lambda state: {"owned": bool(state["w"].flags.owndata) and state is STATE}
        )


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingExtraError, match="needs safetensors: pip install safetensors"):
        assert_roundtrip({"w": STATE["w"]}, "safetensors")


@pytest.mark.parametrize(
    ("value", "arguments", "message"),
    [
        (STATE, {}, "via must be one of"),
        (STATE, {"via": "pickle"}, "got 'pickle'"),
        (STATE, {"save": save_text}, "belong together"),
        (STATE, {"via": "npz", "save": save_text, "load": load_text}, "either via= or save="),
        (3, {"via": "npz"}, "a module or a dict of arrays, got int"),
        ({"o": np.array([None])}, {"via": "npz"}, "holds objects"),
    ],
)
def test_wrong_arguments_are_rejected(value, arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_roundtrip(value, **arguments)


def test_predictions_that_do_not_repeat_are_unstable_and_have_no_cause():
    calls = iter(range(100))
    with pytest.raises(InconclusiveError, match=r"predict\(value\) differs from itself when repeated"):
        assert_roundtrip({"x": np.ones(3)}, "npz", predict=lambda value: value["x"] + next(calls))
