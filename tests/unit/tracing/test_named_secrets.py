"""Secrets under names in the user's modules."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_repro.model.redaction import redact
from pytest_repro.tracing import named_secrets

SECRET, OTHER = "hunter2-of-the-module-71", "hunter2-of-the-module-72"


def test_a_module_is_looked_at_once_and_again_when_a_variable_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("of_the_user")
    module.__file__ = str(tmp_path / "of_the_user.py")
    module.api_key = SECRET  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_the_user", module)
    looked: list[object] = []
    remember = named_secrets.remember_variables
    monkeypatch.setattr(named_secrets, "remember_variables", lambda v: (looked.append(v), remember(v)))
    for _ in range(2):
        named_secrets.remember_modules()
        assert sum(variables is module.__dict__ for variables in looked) == 1
    assert SECRET not in redact(f"key {SECRET}")
    module.password = OTHER  # type: ignore[attr-defined]
    named_secrets.remember_modules()
    assert sum(variables is module.__dict__ for variables in looked) == 2
    assert OTHER not in redact(f"key {OTHER}")
