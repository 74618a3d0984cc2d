"""Environment variables that code reads by name, and copies of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_repro.tracing.variables import (
    COPIED,
    begin_test,
    describe_variables,
    noting_variables,
    variables_read,
)

#: Two more than a test in hand finds.
NAMES = ("A_LEARNING_RATE", "A_MODEL_SIZE")


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.setenv(name, "1")
    with noting_variables(lambda file: file == __file__):
        yield


def names_of(read: object) -> list[str]:
    begin_test()
    assert callable(read)
    read()
    return [name for name in variables_read() if name in (*NAMES, COPIED) or "PATH" in name]


READS = {
    "by its name": lambda: os.environ["A_MODEL_SIZE"],
    "get": lambda: os.environ.get("A_MODEL_SIZE"),
    "getenv": lambda: os.getenv("A_MODEL_SIZE"),
    "pop": lambda: os.environ.pop("A_MODEL_SIZE"),
    "a method": lambda: list(map(os.environ.__getitem__, ["A_MODEL_SIZE"])),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_variable_that_is_read_by_its_name_is_noted(read: object) -> None:
    assert names_of(read) == ["A_MODEL_SIZE"]


COPIES = {
    "dict": lambda: dict(os.environ),
    "copy": lambda: os.environ.copy(),
    "unpacked": lambda: {**os.environ, "MORE": "1"},
    "arguments": lambda: dict(**os.environ),
    "or": lambda: os.environ | {"MORE": "1"},
    "items": lambda: {name: value for name, value in os.environ.items() if value},
    "values": lambda: sorted(os.environ.values()),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_of_all_is_noted_once_and_is_no_reading_of_each(copy: object) -> None:
    assert names_of(copy) == [COPIED]
    assert describe_variables([COPIED]) == {COPIED: "copied as a whole"}


def test_a_variable_that_is_read_beside_a_copy_is_noted_too() -> None:
    def read() -> None:
        copied = {**os.environ, "MORE": os.environ["A_MODEL_SIZE"]}
        assert copied
        os.environ.get("A_LEARNING_RATE")

    assert sorted(names_of(read)) == [COPIED, "A_LEARNING_RATE", "A_MODEL_SIZE"]
    names = names_of(lambda: [os.environ[name] for name in os.environ if name in NAMES])
    assert sorted(names) == sorted(NAMES)
