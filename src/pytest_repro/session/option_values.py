"""Read the values of options, their ini twins and marker arguments. Loads no NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance
from pytest_repro.session.ini_values import place_of, read_key

MAX_SEED = 2**32 - 1
MAX_RUNS = 100_000


def read_option(config: pytest.Config, name: str, parse: Callable[[Any], Any]) -> Any:
    """Return an option, or its ini twin, parsed. None if neither is given. UsageError names the wrong one."""
    value = config.getoption(name)
    where = "--" + name.replace("_", "-")
    if value is None:
        value = read_key(config, name)
        where = place_of(config, name)
        if value is None:
            return None
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def read_flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(name) or read_key(config, name))


def parse_int(text: object) -> int:
    if isinstance(text, (bool, float)):
        raise UsageError(f"must be an integer, got {text!r}")
    try:
        return int(text)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        raise UsageError(f"must be an integer, got {text!r}") from None


def parse_float(text: object) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"must be a number, got {text!r}") from None


def parse_seconds(text: object) -> float:
    """Parse the CPU time of a budget [s]: a number of seconds, or one with a unit (``90s``, ``10m``, ``1h``)."""
    word = str(text).strip().lower()
    factor = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(word[-1:], 0.0)
    try:
        seconds = float(word[:-1]) * factor if factor else float(word)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(
            f"must be a number of seconds above 0, such as 90 or 10m, got {text!r}; "
            "--no-repro-diagnose omits the diagnosis"
        )
    return seconds


def bound_parser(name: str) -> Callable[[object], Any]:
    """Return the parser of a bound such as `max_ulp`."""

    def parse(text: object) -> Any:
        value = parse_int(text) if name == "max_ulp" else parse_float(text)
        bound: dict[str, Any] = {name: value}
        Tolerance(**bound)
        return value

    return parse


def parse_runs(value: object) -> int:
    try:
        runs = parse_int(value)
    except UsageError:
        raise UsageError(f"runs must be an integer >= 2, got {value!r}") from None
    if runs < 1:
        raise UsageError(f"runs={runs} compares nothing; give at least 2")
    if runs > MAX_RUNS:
        raise UsageError(f"runs={runs} is more than {MAX_RUNS:,}; give fewer")
    return runs


def check_seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise UsageError(f"seed must be an integer from 0 to 2**32 - 1, got {value!r}")
    return value


def parse_seed(value: object) -> int:
    """Parse a seed of the command line, which may be ``random``."""
    if value == "random":
        import secrets

        return secrets.randbelow(MAX_SEED + 1)
    try:
        return check_seed(parse_int(value))
    except UsageError:
        raise UsageError(f"seed must be an integer from 0 to 2**32 - 1, or 'random', got {value!r}") from None


def check_required(text: str) -> str:
    """Stop the session where a required device is missing."""
    from pytest_repro.frameworks.device_probe import why_missing

    for requirement in text.split(","):
        axis, _, value = requirement.strip().partition(":")
        if axis != "device" or not value:
            raise UsageError(f"must be device:NAME, as in device:cuda, got {requirement!r}")
        reason = why_missing(value)
        if reason is not None:
            raise UsageError(f"{requirement.strip()} is required and missing: {reason}")
    return text


def parse_size(text: object) -> int:
    """Parse a size such as ``512MiB``, ``2G`` or a number of bytes."""
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    word = str(text).strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = word.rstrip("kmgt"), word[len(word.rstrip("kmgt")) :]
    try:
        size = float(number) * units[unit]
    except (KeyError, ValueError):
        raise UsageError(f"must be a size such as 512MiB or 2GiB, got {text!r}") from None
    if not 1 <= size < 2**60:
        raise UsageError(f"must be a size of at least one byte, got {text!r}")
    return int(size)
