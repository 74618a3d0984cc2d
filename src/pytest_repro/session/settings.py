"""What is asked of a test: marker, options and ini file made into one checked value. Loads no NumPy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import bestrelpath

from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, TolerancePolicy
from pytest_repro.session.auditing import read_audit_settings
from pytest_repro.session.record_settings import RecordSettings, read_record_settings

DEFAULT_RUNS = 2
BOUNDS = ("max_ulp", "rtol", "atol", "norm")
MARKER_ARGUMENTS = ("runs", "across", *BOUNDS, "tolerance", "seed", "seed_control", "timeout", "tier")
#: What a record is held to: the environment decides, or always the bits.
TIERS = ("auto", "bits")
MAX_SEED = 2**32 - 1
#: Of one test's diagnosis [s].
DEFAULT_BUDGET_S = 60.0


@dataclass(frozen=True)
class TestSettings:
    """How one test is to be run and judged."""

    __test__ = False

    runs: int
    runs_are_given: bool
    policy: TolerancePolicy
    seed: int
    base_seed: int
    seed_is_given: bool
    seed_control: bool
    #: Axes with values; what the marker gives as assertions stands in `assertions`, by the argument's name.
    across: Any
    timeout_s: float | None
    isolate: bool
    is_marked: bool
    takes_all: bool
    wants_digests: bool
    repeat_command: str
    tier: str = "auto"
    assertions: tuple[str, ...] = ()
    #: The marker's bounds of axes whose values the command line gives.
    axis_tolerances: Mapping[str, Tolerance | TolerancePolicy] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionSettings:
    """The options of one pytest session, read once."""

    runs: int | None
    runs_on_command_line: bool
    base_seed: int
    seed_on_command_line: bool
    seed_control: bool
    seed_control_on_command_line: bool
    take_all: bool
    isolate: bool
    across: str | None
    across_on_command_line: bool
    #: Bounds of the ini file, which a marker overrides, and of the command line, which override a marker.
    default_bounds: dict[str, Any]
    bounds: dict[str, Any]
    memory_limit_bytes: int
    wants_digests: bool
    records: RecordSettings | None = None
    diagnose: bool = True
    diagnose_budget_s: float = DEFAULT_BUDGET_S

    @property
    def takes_unmarked(self) -> bool:
        """Whether tests without the marker are looked at."""
        return self.take_all or self.runs_on_command_line


def read_session_settings(config: pytest.Config) -> SessionSettings:
    """Read every option with its ini twin; the command line wins.

    Raises
    ------
    UsageError
        Naming the option or the ini key that is wrong.
    """
    _check_report(config)
    runs_given = config.getoption("repro_runs") is not None
    runs = _option(config, "repro_runs", _parse_runs)
    seed = _option(config, "repro_seed", _parse_seed)
    if hasattr(config, "workerinput"):
        seed = config.workerinput.get("repro_base_seed", seed)
    _option(config, "repro_require", _check_required)
    bounds = {name: _option(config, f"repro_{name}", _bound_parser(name)) for name in BOUNDS[:3]}
    records = read_record_settings(config)
    read_audit_settings(config)  # refused now, not when the bundle is written
    default_bounds = {name: bounds.pop(name) for name in BOUNDS[:3] if config.getoption(f"repro_{name}") is None}
    return SessionSettings(
        runs=runs,
        runs_on_command_line=runs_given,
        base_seed=0 if seed is None else seed,
        seed_on_command_line=config.getoption("repro_seed") is not None,
        seed_control=_flag(config, "repro_seed_control"),
        seed_control_on_command_line=bool(config.getoption("repro_seed_control")),
        take_all=_flag(config, "repro_all"),
        isolate=_flag(config, "repro_isolate"),
        across=_option(config, "repro_across", str),
        across_on_command_line=config.getoption("repro_across") is not None,
        default_bounds={name: value for name, value in default_bounds.items() if value is not None},
        bounds=bounds,
        memory_limit_bytes=_option(config, "repro_memory", _parse_size) or 2**30,
        wants_digests=records is not None
        or html_path(config) is not None
        or any(config.getoption(name, None) is not None for name in ("repro_json", "repro_evidence", "xmlpath")),
        records=records,
        diagnose=_read_diagnose(config),
        diagnose_budget_s=_option(config, "repro_diagnose_budget", _parse_budget) or DEFAULT_BUDGET_S,
    )


def _read_diagnose(config: pytest.Config) -> bool:
    given = config.getoption("repro_diagnose")
    return bool(config.getini("repro_diagnose") if given is None else given)


def _parse_budget(text: object) -> float:
    seconds = _parse_float(text)
    if not 0 < seconds < 1e6:
        raise UsageError(f"needs a number of seconds above 0, got {text!r}; --no-repro-diagnose leaves it out")
    return seconds


def _check_report(config: pytest.Config) -> None:
    """Refuse at once a report that could only fail to be written after hours of tests."""
    report = config.getoption("repro_json")
    if report is not None and (config.invocation_params.dir / report).is_dir():
        raise UsageError(f"--repro-json: {report!r} is a folder; give the name of a file")
    page = html_path(config)
    if page is not None and page.is_dir():
        raise UsageError(f"repro_html: {str(page)!r} is a folder; give the name of a file")


def html_path(config: pytest.Config) -> Path | None:
    """Return where ``--repro-html`` or its ini twin (relative to the ini file) wants the page; None if neither does."""
    given = config.getoption("repro_html")
    if given is not None:
        return config.invocation_params.dir / Path(given)
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return base / Path(found) if (found := config.getini("repro_html")) else None


def read_test_settings(item: pytest.Item, session: SessionSettings) -> TestSettings:
    """Join the marker of one test with the session's options.

    Raises
    ------
    UsageError
        If the marker says something that does not exist or cannot be; the message does not name the test.
    """
    given = read_marker(item)
    ini_runs = session.runs if session.runs is not None else DEFAULT_RUNS
    runs = session.runs if session.runs_on_command_line and session.runs is not None else given.get("runs", ini_runs)
    policy = _policy(given, session)
    fixed_seed: int | None = None if session.seed_on_command_line else given.get("seed")
    from pytest_repro.seeding import derive_seed  # at the first run: collecting needs none of it
    from pytest_repro.session.equivalence_axes import split_across
    from pytest_repro.session.option_axes import axis_tolerances, takes_option

    seed = derive_seed(session.base_seed, str(item.nodeid)) if fixed_seed is None else fixed_seed
    marked = item.get_closest_marker("reproducible") is not None
    # An unmarked test shows only by its first run whether it is to be compared at all: no processes for that.
    takes_axes = marked or session.take_all
    own_axes, assertions = split_across(given["across"]) if "across" in given else (session.across, {})
    takes_asked = takes_option(item, session)
    across = session.across if takes_asked else own_axes
    runs_are_given = "runs" in given or session.runs is not None
    # A test with axes and no number of runs is not repeated in one condition; the command must not change that.
    told_runs = runs if runs_are_given or not (across or assertions) else None
    return TestSettings(
        runs=runs,
        runs_are_given=runs_are_given,
        policy=policy,
        seed=seed,
        base_seed=session.base_seed,
        seed_is_given=fixed_seed is not None,
        seed_control=session.seed_control_on_command_line or given.get("seed_control", session.seed_control),
        across=across if takes_axes else None,
        timeout_s=given.get("timeout"),
        isolate=session.isolate and takes_axes,
        is_marked=marked,
        takes_all=session.take_all,
        wants_digests=session.wants_digests,
        repeat_command=_repeat_command(item, session, told_runs, fixed_seed is not None, marked, takes_asked),
        tier=given.get("tier", "auto"),
        assertions=tuple(assertions),
        axis_tolerances=axis_tolerances(session, own_axes),
    )


def read_marker(item: pytest.Item) -> dict[str, Any]:
    """Merge the `reproducible` markers of a test, its class and its module; the closest wins per argument."""
    merged: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("reproducible"))):
        if mark.args:
            raise UsageError(
                f"@reproducible takes keyword arguments only, got {mark.args!r}: write runs=..., max_ulp=..."
            )
        for name, value in mark.kwargs.items():
            if name not in MARKER_ARGUMENTS:
                import difflib

                close = difflib.get_close_matches(name, MARKER_ARGUMENTS, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it knows {', '.join(MARKER_ARGUMENTS)}"
                raise UsageError(f"@reproducible has no argument {name!r}; {hint}")
            merged[name] = value
    _check_marker(merged)
    return merged


def _check_marker(given: dict[str, Any]) -> None:
    if isinstance(given.get("runs"), str):
        raise UsageError(f"runs needs a whole number of at least 2, got the text {given['runs']!r}")
    if "runs" in given:
        given["runs"] = _parse_runs(given["runs"])
    if given.get("seed") is not None:
        given["seed"] = _check_seed(given["seed"])
    if not isinstance(given.get("seed_control", False), bool):
        raise UsageError(f"seed_control must be True or False, got {given['seed_control']!r}")
    if given.get("tier", "auto") not in TIERS:
        raise UsageError(f"tier must be 'auto' or 'bits', got {given['tier']!r}")
    timeout = given.get("timeout")
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < 1e9
    ):
        raise UsageError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    bounds = [name for name in BOUNDS if name in given]
    if bounds and "tolerance" in given:
        raise UsageError(f"give either tolerance= or {', '.join(bounds)}, not both: put the bounds into the Tolerance")
    TolerancePolicy.of(given.get("tolerance"))
    Tolerance(**{name: given[name] for name in bounds})


def _policy(given: dict[str, Any], session: SessionSettings) -> TolerancePolicy:
    if "tolerance" in given:
        policy = TolerancePolicy.of(given["tolerance"])
    else:
        own = {name: given[name] for name in BOUNDS if name in given}
        policy = TolerancePolicy.of(Tolerance(**session.default_bounds | own))
    if not session.bounds:
        return policy
    rules = [(glob, bound.with_bounds(**session.bounds)) for glob, bound in policy.rules]
    # Artifacts that no glob of the marker matches are within reach of the command line all the same.
    return TolerancePolicy((*rules, ("*", Tolerance(**session.bounds))))


def _repeat_command(
    item: pytest.Item, session: SessionSettings, runs: int | None, fixed_seed: bool, marked: bool, with_axes: bool
) -> str:
    words = ["pytest", shlex.quote(_nodeid_from_here(item))]
    if runs is not None:
        words.append(f"--repro-runs={max(runs, 2)}")
    if not fixed_seed:
        words.append(f"--repro-seed={session.base_seed}")
    if with_axes:
        words.append(shlex.quote(f"--repro-across={session.across}"))
    if session.take_all and not marked:
        words.append("--repro-all")
    if session.isolate:
        words.append("--repro-isolate")
    return " ".join(words)


def _nodeid_from_here(item: pytest.Item) -> str:
    """Return the node id as the command line takes it; by itself it is relative to the root directory."""
    # Not config.cwd_relative_nodeid: it takes a str before pytest 9.2, and from then on an object.
    config, (path, separator, rest) = item.config, str(item.nodeid).partition("::")
    here = config.invocation_params.dir
    if here != config.rootpath:
        path = bestrelpath(here, config.rootpath / path)
    return f"{path}{separator}{rest}"


def _option(config: pytest.Config, name: str, parse: Any) -> Any:
    """Return an option, or its ini twin, parsed; None if neither is given."""
    value = config.getoption(name)
    where = "--" + name.replace("_", "-")
    if value is None:
        value = config.getini(name)
        where = f"{name} in {config.inipath.name if config.inipath else 'the ini file'}"
        if value in (None, ""):
            return None
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(name) or config.getini(name))


def _parse_int(text: object) -> int:
    if isinstance(text, (bool, float)):
        raise UsageError(f"needs a whole number, got {text!r}")
    try:
        return int(text)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        raise UsageError(f"needs a whole number, got {text!r}") from None


def _parse_float(text: object) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"needs a number, got {text!r}") from None


def _bound_parser(name: str) -> Callable[[object], Any]:
    def parse(text: object) -> Any:
        value = _parse_int(text) if name == "max_ulp" else _parse_float(text)
        bound: dict[str, Any] = {name: value}
        Tolerance(**bound)
        return value

    return parse


def _parse_runs(value: object) -> int:
    try:
        runs = _parse_int(value)
    except UsageError:
        raise UsageError(f"runs needs a whole number of at least 2, got {value!r}") from None
    if runs < 1:
        raise UsageError(f"runs={runs} compares nothing; give at least 2")
    if runs > 100_000:
        raise UsageError(f"runs={runs} is more than 100,000; give fewer")
    return runs


def _check_seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise UsageError(f"seed must be a whole number from 0 to 2**32 - 1, got {value!r}")
    return value


def _parse_seed(value: object) -> int:
    if value == "random":
        import secrets

        return secrets.randbelow(MAX_SEED + 1)
    try:
        return _check_seed(_parse_int(value))
    except UsageError:
        raise UsageError(f"seed needs a whole number from 0 to 2**32 - 1, or 'random', got {value!r}") from None


def _check_required(text: str) -> str:
    """Refuse to start where a device that must be here is not."""
    from pytest_repro.frameworks.device_probe import why_missing

    for requirement in text.split(","):
        axis, _, value = requirement.strip().partition(":")
        if axis != "device" or not value:
            raise UsageError(f"needs device:NAME, as in device:cuda, got {requirement!r}")
        reason = why_missing(value)
        if reason is not None:
            raise UsageError(f"{requirement.strip()} is required and missing: {reason}")
    return text


def _parse_size(text: object) -> int:
    """Parse a size such as ``512MiB``, ``2G`` or a number of bytes."""
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    word = str(text).strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = word.rstrip("kmgt"), word[len(word.rstrip("kmgt")) :]
    try:
        size = float(number) * units[unit]
    except (KeyError, ValueError):
        raise UsageError(f"needs a size such as 512MiB or 2GiB, got {text!r}") from None
    if not 1 <= size < 2**60:
        raise UsageError(f"needs a size of at least one byte, got {text!r}")
    return int(size)
