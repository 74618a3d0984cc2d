"""locale: LC_ALL, which decides collation, case, decimal signs and the encoding of text files."""

from __future__ import annotations

import functools
import locale
import os
import sys
from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, EngineName
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: The plain one, one with a decimal comma, one whose upper-case i has a dot: each breaks different code.
_PREFERRED = ("C", "de_DE", "tr_TR", "fr_FR", "en_US", "C.UTF-8")


class LocaleAxis(BuiltInAxis):
    """Needs a new interpreter: Python fixes its text encoding when it starts."""

    name: ClassVar[str] = "locale"
    needs: ClassVar[EngineName] = "spawn"
    variables: ClassVar[tuple[str, ...]] = ("LC_ALL", "LANGUAGE")

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the locale as it is, and up to two installed ones that behave differently from each other."""
        current = _normalise(os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C")
        found: list[JSON] = [None]
        for wanted in _PREFERRED:
            # Prefer a UTF-8 variant, except for the plain C.
            fits = [name for name in machine.locales if _normalise(name).split(".")[0] == wanted.split(".")[0]]
            fits = (
                [n for n in fits if ("." in n) == ("." in wanted)]
                if wanted.startswith("C")
                else sorted(fits, key=_is_plain)
            )
            if fits and _normalise(fits[0]) != current and len(found) < 3:
                found.append(fits[0])
        return found

    def unavailable(self, machine: Machine) -> str | None:
        if machine.system == "win32":
            return "Windows does not read LC_ALL"
        if len({_normalise(name) for name in machine.locales} - {"POSIX"}) < 2:
            return f"only {', '.join(machine.locales)} are installed (Debian's package locales-all has more)"
        return None

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Reject a locale that is not installed, since programs fall back to C without a warning."""
        if _normalise(str(value)) in {_normalise(name) for name in machine.locales}:
            return None
        return f"it is not installed here (installed: {', '.join(machine.locales)})"

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or not value or "=" in value:
            raise UsageError(f"locale must be the name of a locale, such as 'de_DE.UTF-8', got {value!r}")

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return LC_ALL, which overrides every other variable except LANGUAGE."""
        return {} if value is None else {"LC_ALL": str(value), "LANGUAGE": None}

    def verify(self, value: JSON) -> Effect:
        """Read back the locale that a program gets by ``setlocale(LC_ALL, "")``, and the encoding that Python uses."""
        observed: dict[str, JSON] = {
            "text encoding": [locale.getpreferredencoding(False), sys.getfilesystemencoding(), sys.flags.utf8_mode]
        }
        before = locale.setlocale(locale.LC_ALL)
        try:
            locale.setlocale(locale.LC_ALL, "")
            numbers = locale.localeconv()
            observed["numbers"] = [str(numbers["decimal_point"]), str(numbers["thousands_sep"])]
            observed["order"] = " ".join(sorted("aBc\u00e4ZiI", key=functools.cmp_to_key(locale.strcoll)))
            observed["name"] = locale.setlocale(locale.LC_ALL)
        except locale.Error:
            return Effect(self.name, value, observed, (("name", "the C library does not know this locale"),))
        finally:
            locale.setlocale(locale.LC_ALL, before)
        return Effect(self.name, value, observed)

    def describe(self, value: JSON) -> str:
        return "LC_ALL as is" if value is None else f"LC_ALL={value}"


def _normalise(name: str) -> str:
    """Give C.utf8 and C.UTF-8 one spelling, as the C library does."""
    base, dot, codeset = name.partition(".")
    return base + dot + codeset.lower().replace("-", "")


def _is_plain(name: str) -> bool:
    return "utf" not in name.lower()


AXIS = LocaleAxis()
