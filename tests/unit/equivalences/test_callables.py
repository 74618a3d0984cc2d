"""Functions that another process can import or not, and how they are sent there."""

from __future__ import annotations

import json
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest

from pytest_repro.equivalences import callables
from tests.unit.equivalences import loops


@pytest.mark.parametrize(
    "function", [loops.Walk, loops.fail, loops.Holder.inner, partial(loops.Walk, "x"), partial(loops.Walk, lost="y")]
)
def test_functions_at_module_level_can_be_imported(function):
    assert callables.why_not_importable(function) == ""


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: 1, "is a lambda"),
        (partial(lambda: 1), "is a lambda"),
        (partial(loops.Walk, np.ones(3)), "is a partial with arguments that are not plain"),
        (loops.Walk().step, "is not the object"),
        (loops.Holder(), "is a Holder object"),
    ],
)
def test_other_functions_cannot_be_imported_and_the_reason_is_given(function, reason):
    assert callables.why_not_importable(function).startswith(reason)


def test_a_local_function_cannot_be_imported():
    def local():
        pass

    assert callables.why_not_importable(local) == "is defined inside another function"


def test_a_function_of_a_notebook_cannot_be_imported(monkeypatch):
    notebook = ModuleType("__main__")
    exec("def cell(): pass", notebook.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    assert callables.why_not_importable(notebook.cell) == "is defined in a notebook or at a prompt"


def test_a_function_that_was_replaced_cannot_be_imported(monkeypatch):
    original = loops.fail
    monkeypatch.setattr(loops, "fail", lambda: None)
    assert callables.why_not_importable(original).startswith("is not the object")


@pytest.mark.parametrize("value", [{"a": [1, 0.1, None, "x"], "f": loops.fail}, [loops.Walk, True]])
def test_arguments_arrive_as_they_were_given(value):
    assert callables.decode(json.loads(json.dumps(callables.encode(value)))) == value


def test_a_partial_arrives_with_its_arguments():
    sent = json.loads(json.dumps(callables.encode(partial(loops.Walk, lost="momentum"))))
    assert callables.decode(sent)().lost == "momentum"


def test_a_module_that_cannot_be_imported_by_name_is_loaded_from_its_file(tmp_path):
    source = tmp_path / "far_away.py"
    source.write_text("def answer(): return 42\n")
    sent = {"$function": "answer", "module": "no.such.package.far_away", "file": str(source)}
    try:
        assert callables.decode(sent)() == 42
    finally:
        sys.modules.pop("no.such.package.far_away", None)


def test_a_missing_import_of_the_users_module_is_named(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        callables.decode({"$function": "f", "module": "needs_more", "file": str(tmp_path / "needs_more.py")})
