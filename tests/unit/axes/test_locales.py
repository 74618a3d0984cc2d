"""Locales, in real interpreters."""

from __future__ import annotations

import pytest

from pytest_repro.axes import Machine, find_axis
from pytest_repro.errors import UsageError
from tests.unit.axes.children import judge, run_child


def machine_with(*locales: str) -> Machine:
    return Machine("linux", "x86_64", 2, libc=("glibc", "2.36"), known_locales=locales)


def test_the_variable_reaches_the_run() -> None:
    body = "import os; seen['LC_ALL'] = os.environ['LC_ALL']"
    assert run_child({"locale": "C"}, body).seen["LC_ALL"] == "C"


def test_two_installed_locales_count_as_varied() -> None:
    plain, unicode = run_child({"locale": "C"}), run_child({"locale": "C.UTF-8"})
    variation = judge(plain, unicode, "locale")
    assert "name" in variation.varied
    assert "numbers" in variation.unchanged


def test_a_locale_that_is_not_installed_is_reported() -> None:
    assert dict(run_child({"locale": "xx_XX.UTF-8"}).effect.problems) == {
        "name": "the C library does not know this locale"
    }
    assert "not installed" in (find_axis("locale").unavailable_value("xx_XX.UTF-8", machine_with("C", "C.utf8")) or "")


def test_two_spellings_of_one_codeset_are_one_locale() -> None:
    assert find_axis("locale").unavailable_value("C.UTF-8", machine_with("C", "C.utf8", "POSIX")) is None


def test_a_machine_with_only_the_plain_locale_is_rejected_with_the_reason() -> None:
    assert "only C, POSIX" in (find_axis("locale").unavailable(machine_with("C", "POSIX")) or "")


def test_locales_that_behave_differently_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    machine = machine_with("C", "POSIX", "de_DE", "de_DE.utf8", "en_US.utf8", "tr_TR.utf8")
    assert find_axis("locale").default_values(machine) == [None, "C", "de_DE.utf8"]


def test_the_current_locale_is_not_among_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert find_axis("locale").default_values(machine_with("C", "C.utf8", "POSIX")) == [None, "C.utf8"]


@pytest.mark.parametrize("bad", ["", 1, "LC_ALL=C", None])
def test_a_value_that_is_not_a_name_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="locale"):
        find_axis("locale").validate(bad)  # type: ignore[arg-type]
