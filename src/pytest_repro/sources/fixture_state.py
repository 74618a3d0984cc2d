"""State of fixtures that outlive a test: what the test does to their values, the next run finds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pytest_repro.capturing.fingerprints import fingerprint
from pytest_repro.model import JSON
from pytest_repro.sources.module_state import copy_value
from pytest_repro.sources.object_content import Content, TooLargeError
from pytest_repro.sources.state_kinds import describe

#: The names of these states begin with this. Those of a module's states do not.
PREFIX = "fixture "
#: Kind of such a state.
KIND = "fixture"


class FixtureState:
    """The value of one fixture that outlives the test, as it is now.

    Parameters
    ----------
    fixture : pytest's definition of it, which is set up
    """

    def __init__(self, fixture: Any) -> None:
        self.fixture = fixture
        self.name: str = f"{PREFIX}{fixture.argname}"
        value = _value_of(fixture)
        self._content = Content(value)
        self._text = str(describe(value, depth=0).get("text", ""))
        # What cannot be restored in place, such as an iterator, is replaced where pytest keeps it.
        self._copy = copy_value(value) if self._content.is_opaque else None
        self._digest = fingerprint(value) if self._content.is_opaque else ""

    @property
    def ids(self) -> set[int]:
        """Identities of the mutable objects that the value holds."""
        return self._content.ids

    def changed(self) -> dict[str, JSON] | None:
        """Describe the state if the value has changed."""
        value = _value_of(self.fixture)
        where = self._content.find_changed()
        if not where and (not self._content.is_opaque or fingerprint(value) == self._digest):
            return None
        code = getattr(self.fixture.func, "__code__", None)
        part = min(where, key=len, default="")
        return {
            "name": self.name,
            "kind": KIND,
            "scope": str(self.fixture.scope),
            "part": part[:80],
            "file": str(getattr(code, "co_filename", "")),
            "was": self._text,
            "now": str(describe(value, depth=0).get("text", "")),
        }

    def restore(self) -> None:
        """Restore the value."""
        self._content.restore()
        if self._content.is_opaque:
            _, key, error = self.fixture.cached_result
            self.fixture.cached_result = (copy_value(self._copy), key, error)


def record_fixtures(fixtures: list[Any]) -> list[FixtureState]:
    """Record the values of fixtures that are set up. One that cannot be recorded is left out."""
    found = []
    for fixture in fixtures:
        with suppress(TooLargeError, Exception):
            if fixture.cached_result is not None and not _is_of_pytest(fixture):
                found.append(FixtureState(fixture))
    return found


def _value_of(fixture: Any) -> Any:
    return fixture.cached_result[0]


def _is_of_pytest(fixture: Any) -> bool:
    # The values of pytest's own fixtures change with each test: `tmp_path_factory` counts its folders.
    return str(getattr(fixture.func, "__module__", "")).partition(".")[0] in ("_pytest", "pytest", "pytest_repro")
