"""The settings of a session and of each test: marker, options and ini file as one checked value. Loads no NumPy."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.pathlib import bestrelpath

from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, TolerancePolicy
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.session.auditing import read_audit_settings
from pytest_repro.session.budget import DEFAULT_SESSION_S, DEFAULT_TEST_S
from pytest_repro.session.ini_values import check_keys, ini_folder, read_key
from pytest_repro.session.option_values import (
    bound_parser,
    check_required,
    check_seed,
    parse_runs,
    parse_seconds,
    parse_seed,
    parse_size,
    read_flag,
    read_option,
)
from pytest_repro.session.packages import module_of, name_of
from pytest_repro.session.record_settings import RecordSettings, read_record_settings

if TYPE_CHECKING:
    from pytest_repro.axes import AxisRequest
    from pytest_repro.session.across import Assertion

MARKER = "reproducible"
#: Key of a worker's input: the root folder, relative to where the user started pytest.
ROOT_KEY = "repro_root"
#: User property of a test that its marker excludes.
NOT_CHECKED = "repro_not_checked"
DEFAULT_RUNS = 2
BOUNDS = ("max_ulp", "rtol", "atol", "norm")
MARKER_ARGUMENTS = ("runs", "across", *BOUNDS, "tolerance", "seed", "seed_control", "timeout", "tier", "skip")
#: How a record is compared: the environment decides, or always bit for bit.
TIERS = ("auto", "bits")


@dataclass(frozen=True)
class TestSettings:
    """The settings by which one test is run and judged.

    Attributes
    ----------
    requests : tuple of AxisRequest
        Axes to vary, before they are checked against the test's arguments.
    base_seed : int or None
        The session's seed, from which that of the test was derived; None where the marker gives it.
    assertions : mapping of str -> callable
        Equivalence assertions of the marker, by the argument that each is bound to.
    """

    __test__ = False

    runs: int
    runs_are_given: bool
    policy: TolerancePolicy
    seed: int
    seed_control: bool
    requests: tuple[AxisRequest, ...]
    timeout_s: float | None
    isolate: bool
    is_marked: bool
    takes_all: bool
    wants_digests: bool
    repeat_command: str
    tier: str = "auto"
    base_seed: int | None = None
    assertions: Mapping[str, Assertion] = field(default_factory=dict)

    @property
    def keeps_locals(self) -> bool:
        """Whether the test's local variables are compared where it returns nothing."""
        return self.takes_all and not self.is_marked


@dataclass(frozen=True)
class SessionSettings:
    """The options of one pytest session, read once.

    Attributes
    ----------
    across : str or None
        Text of ``--repro-across`` or its ini twin. Parsed when it is first needed.
    default_bounds : dict
        Bounds of the ini file, which a marker overrides.
    bounds : dict
        Bounds of the command line, which override a marker.
    """

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
    default_bounds: dict[str, Any]
    bounds: dict[str, Any]
    memory_limit_bytes: int
    wants_digests: bool
    records: RecordSettings | None = None
    diagnose: bool = True
    test_budget_s: float = DEFAULT_TEST_S
    session_budget_s: float = DEFAULT_SESSION_S
    hints: bool = True

    @property
    def takes_unmarked(self) -> bool:
        """Whether tests without the marker are repeated too."""
        return self.take_all or self.runs_on_command_line

    @property
    def requests(self) -> tuple[AxisRequest, ...]:
        """The axes of `across`, whose text may be wrong (UsageError)."""
        from pytest_repro.axes import parse_across_option

        return parse_across_option(self.across) if self.across is not None else ()

    def takes(self, item: pytest.Item) -> bool:
        """Return whether the plugin runs a test."""
        is_covered = isinstance(item, pytest.Function) and (self.takes_unmarked or is_marked(item))
        return is_covered and not find_exclusion(item)


def is_marked(item: pytest.Item) -> bool:
    """Return whether a test has the marker."""
    return item.get_closest_marker(MARKER) is not None


def find_exclusion(item: pytest.Item) -> str:
    """Return why the marker of a test excludes it, or "" for a test that is to be checked."""
    for mark in item.iter_markers(MARKER):  # the closest first
        if "skip" in mark.kwargs:
            reason = mark.kwargs["skip"]
            return reason.strip() if isinstance(reason, str) else ""
    return ""


def read_session_settings(config: pytest.Config) -> SessionSettings:
    """Read every option with its ini twin. UsageError names the option or the ini key that is wrong."""
    check_keys(config)
    _check_report(config)
    runs_given = config.getoption("repro_runs") is not None
    runs = read_option(config, "repro_runs", parse_runs)
    seed = read_option(config, "repro_seed", parse_seed)
    if hasattr(config, "workerinput"):
        seed = config.workerinput.get("repro_base_seed", seed)
    read_option(config, "repro_require", check_required)
    bounds = {name: read_option(config, f"repro_{name}", bound_parser(name)) for name in BOUNDS[:3]}
    records = read_record_settings(config)
    read_audit_settings(config)  # checked now, and not when the bundle is written
    default_bounds = {name: bounds.pop(name) for name in BOUNDS[:3] if config.getoption(f"repro_{name}") is None}
    return SessionSettings(
        runs=runs,
        runs_on_command_line=runs_given,
        base_seed=0 if seed is None else seed,
        seed_on_command_line=config.getoption("repro_seed") is not None,
        seed_control=read_flag(config, "repro_seed_control"),
        seed_control_on_command_line=bool(config.getoption("repro_seed_control")),
        take_all=read_flag(config, "repro_all"),
        isolate=read_flag(config, "repro_isolate"),
        across=read_option(config, "repro_across", str),
        across_on_command_line=config.getoption("repro_across") is not None,
        default_bounds={name: value for name, value in default_bounds.items() if value is not None},
        bounds=bounds,
        memory_limit_bytes=read_option(config, "repro_memory", parse_size) or 2**30,
        wants_digests=records is not None
        or html_path(config) is not None
        or any(config.getoption(name, None) is not None for name in ("repro_json", "repro_evidence", "xmlpath")),
        records=records,
        diagnose=_read_switch(config, "repro_diagnose"),
        hints=_read_switch(config, "repro_hints"),
        test_budget_s=read_option(config, "repro_diagnose_budget", parse_seconds) or DEFAULT_TEST_S,
        session_budget_s=_read_session_budget(config),
    )


def _read_session_budget(config: pytest.Config) -> float:
    """Return the budget of this session, of which each worker of pytest-xdist has an equal share."""
    seconds: float = read_option(config, "repro_budget", parse_seconds) or DEFAULT_SESSION_S
    return seconds / int(getattr(config, "workerinput", {}).get("workercount", 1))


def _read_switch(config: pytest.Config, name: str) -> bool:
    """Return an option that is on unless it is switched off."""
    given = config.getoption(name)
    return bool(read_key(config, name) if given is None else given)


def _check_report(config: pytest.Config) -> None:
    """Reject a report's path that would fail after hours of tests."""
    report = config.getoption("repro_json")
    if report is not None and (config.invocation_params.dir / report).is_dir():
        raise UsageError(f"--repro-json: {report!r} is a folder; give the name of a file")
    page = html_path(config)
    if page is not None and page.is_dir():
        raise UsageError(f"repro_html: {str(page)!r} is a folder; give the name of a file")


def html_path(config: pytest.Config) -> Path | None:
    """Return the path of ``--repro-html`` or its ini twin (relative to the ini file). None if neither is given."""
    given = config.getoption("repro_html")
    if given is not None:
        return config.invocation_params.dir / Path(given)
    return ini_folder(config) / Path(found) if (found := read_key(config, "repro_html")) else None


def read_test_settings(item: pytest.Item, session: SessionSettings) -> TestSettings:
    """Join the marker of one test with the session's options. UsageError does not name the test."""
    given = read_marker(item)
    ini_runs = session.runs if session.runs is not None else DEFAULT_RUNS
    runs = session.runs if session.runs_on_command_line and session.runs is not None else given.get("runs", ini_runs)
    policy = _policy(given, session)
    fixed_seed: int | None = None if session.seed_on_command_line else given.get("seed")
    from pytest_repro.seeding import derive_seed  # at the first run: collecting needs none of it
    from pytest_repro.session.across import find_across

    seed = derive_seed(session.base_seed, name_of(item)) if fixed_seed is None else fixed_seed
    marked = is_marked(item)
    # An unmarked test shows only by its first run whether it is to be compared at all: no processes for that.
    takes_axes = marked or session.take_all
    own = find_across(item)
    takes_option = _takes_option(item, session)
    requests = session.requests if takes_option or own is None else own.requests
    if takes_option and own is not None:
        # The command line can name the values of an axis, but not its bounds.
        bounds = {request.name: request.tolerance for request in own.requests}
        requests = tuple(replace(request, tolerance=bounds.get(request.name)) for request in requests)
    assertions = own.assertions if own is not None else {}
    runs_are_given = "runs" in given or session.runs is not None
    # A test with axes and no number of runs is not repeated in one condition. The command must not change that.
    shown_runs = runs if runs_are_given or not (requests or assertions) else None
    return TestSettings(
        runs=runs,
        runs_are_given=runs_are_given,
        policy=policy,
        seed=seed,
        seed_control=session.seed_control_on_command_line or given.get("seed_control", session.seed_control),
        requests=requests if takes_axes else (),
        timeout_s=given.get("timeout"),
        isolate=session.isolate and takes_axes,
        is_marked=marked,
        takes_all=session.take_all,
        wants_digests=session.wants_digests,
        repeat_command=_repeat_command(item, session, shown_runs, fixed_seed is not None, marked, takes_option),
        tier=given.get("tier", "auto"),
        base_seed=session.base_seed if fixed_seed is None else None,
        assertions=assertions,
    )


def _takes_option(item: pytest.Item, session: SessionSettings) -> bool:
    """Return whether a test is varied along the command line's axes.

    A test that lacks all of them, since they are arguments of other tests, keeps its own.
    """
    if not session.across_on_command_line:
        return False
    from pytest_repro.axes import check_arguments
    from pytest_repro.session.across import arguments_of

    return bool(check_arguments(session.requests, arguments_of(item), str(item.nodeid)))


def check_collected(items: Sequence[pytest.Function]) -> list[str]:
    """Return a message for each collected test whose marker is wrong."""
    from pytest_repro.session.across import check_test

    problems = []
    for item in items:
        try:
            read_marker(item)
            check_test(item)
        except UsageError as error:
            # A message about an argument names the test already.
            name, text = f"{item.nodeid}: ", str(error)
            problems.append(redact_assignments(text if text.startswith(name) else name + text))
    return problems


def read_marker(item: pytest.Item) -> dict[str, Any]:
    """Merge the markers of a test, its class and its module. The closest one decides each argument."""
    merged: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers(MARKER))):
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
        raise UsageError(f"runs must be an integer >= 2, got the text {given['runs']!r}")
    if "runs" in given:
        given["runs"] = parse_runs(given["runs"])
    if given.get("seed") is not None:
        given["seed"] = check_seed(given["seed"])
    if not isinstance(given.get("seed_control", False), bool):
        raise UsageError(f"seed_control must be True or False, got {given['seed_control']!r}")
    if given.get("tier", "auto") not in TIERS:
        raise UsageError(f"tier must be 'auto' or 'bits', got {given['tier']!r}")
    reason = given.get("skip")
    if "skip" in given and reason is not None and not (isinstance(reason, str) and reason.strip()):
        raise UsageError(f"skip must be the reason why the test is not checked, as text, got {reason!r}")
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
    # The command line also bounds artifacts that no glob of the marker matches.
    return TolerancePolicy((*rules, ("*", Tolerance(**session.bounds))))


def _repeat_command(
    item: pytest.Item, session: SessionSettings, runs: int | None, fixed_seed: bool, marked: bool, with_axes: bool
) -> str:
    if item.config.getoption("pyargs", False) and not item.path.is_relative_to(item.config.rootpath):
        within = str(item.nodeid).partition("::")[2]
        words = ["pytest", "--pyargs", shlex.quote(f"{module_of(item)}::{within}")]
    else:
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
    """Return the node id relative to where pytest was started, as the command line takes it."""
    # Not config.cwd_relative_nodeid: it takes a str before pytest 9.2, and an object since.
    config, (path, separator, rest) = item.config, str(item.nodeid).partition("::")
    here = config.invocation_params.dir
    if not item.path.is_relative_to(config.rootpath):
        # The node id begins at the argument that selected the test.
        return f"{bestrelpath(here, item.path)}{separator}{rest}"
    # A worker of pytest-xdist on another machine has its own copy of the files, elsewhere.
    root = getattr(config, "workerinput", {}).get(ROOT_KEY) or bestrelpath(here, config.rootpath)
    path = os.path.normpath(Path(root, path))
    return f"{path}{separator}{rest}"
