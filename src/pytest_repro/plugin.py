"""The pytest plugin: options, marker, fixtures. Thin: what it imports at start-up must cost nothing."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

#: As in `engines.job` and `engines.fork_server`, which would load more than start-up may cost.
CHILD_VARIABLES = ("PYTEST_REPRO_JOB", "PYTEST_REPRO_FORK_SERVER")
#: Name of the plugin that a child registers.
CHILD = "repro-child"

if TYPE_CHECKING:
    from pytest_repro.engines.current import Repro
    from pytest_repro.session.recorder import Recorder

NAME = "reproducible"
MARKER = (
    "reproducible(*, runs=2, across=None, max_ulp=0, rtol=0.0, atol=0.0, norm=None, tolerance=None, seed=None, "
    "seed_control=False, timeout=None, tier='auto'): run the test several times and compare what it returns, or gives "
    "to repro.capture(name, value), with run 1: bit for bit unless a bound is given."
)

#: name, kind ("value" or "flag"), metavar, help. Every option has an ini twin of the same name.
OPTIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        "repro_runs",
        "value",
        "N",
        "run each reproducible test N times; on the command line also unmarked tests that return something",
    ),
    ("repro_across", "value", "AXES", "what the results must not depend on: hash_seed,threads=1:2,isa ... or all"),
    ("repro_seed", "value", "N|random", "base of every test's seed (default 0)"),
    (
        "repro_all",
        "flag",
        "",
        "take unmarked tests too; one that returns nothing is compared by its outcome and its locals",
    ),
    ("repro_isolate", "flag", "", "make every run in a process of its own"),
    (
        "repro_require",
        "value",
        "AXIS:VALUE",
        "stop unless it is here (device:cuda), so that no GPU job passes by skipping",
    ),
    ("repro_seed_control", "flag", "", "add a run with another seed, which must give another result"),
    ("repro_max_ulp", "value", "N", "distance [ulp] that an element may have from run 1"),
    ("repro_rtol", "value", "X", "relative difference that an element may have from run 1"),
    ("repro_atol", "value", "X", "absolute difference that an element may have from run 1"),
    ("repro_verify", "value", "DIR", "hold each reproducible test to its record in DIR"),
    ("repro_html", "value", "FILE", "write a report for a reader to FILE: one page that needs nothing else"),
    ("repro_diagnose_budget", "value", "SECONDS", "time for finding out why one test diverged (default 60)"),
    ("repro_memory", "value", "SIZE", "captured results beyond this size go to disk (default 1GiB)"),
    ("repro_audit", "flag", "", "hold the installed packages against pip-audit's report in the bundle of evidence"),
    ("repro_audit_timeout", "value", "S", "seconds that pip-audit may take in all (default 120)"),
)

#: Without ini twins: each is one act.
RECORD_OPTIONS = (
    ("repro_record", "DIR", "write a record of each reproducible test to DIR; none is overwritten"),
    ("repro_update", "", "overwrite records that differ; needs --repro-reason"),
    ("repro_reason", "TEXT", "why they are overwritten; kept in the records"),
    ("repro_evidence", "DIR", "write a bundle of evidence to DIR: results, circumstances, in-toto statement"),
    ("repro_audit_report", "FILE", "as --repro-audit, by a report (pip-audit --format json) that was made elsewhere"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their ini twins."""
    group = parser.getgroup("repro", "reproducibility (pytest-repro)")
    for name, kind, metavar, text in OPTIONS:
        flag = "--" + name.replace("_", "-")
        if kind == "flag":
            group.addoption(flag, dest=name, action="store_true", default=None, help=text)
            parser.addini(name, text, type="bool", default=False)
        else:
            group.addoption(flag, dest=name, metavar=metavar, default=None, help=text)
            parser.addini(name, text, default=None)
    group.addoption(
        "--repro-json", dest="repro_json", metavar="FILE", default=None, help="write every verdict and figure to FILE"
    )
    text = "find out why a test diverged, by further runs (default; --no-repro-diagnose does not)"
    group.addoption("--repro-diagnose", dest="repro_diagnose", action="store_true", default=None, help=text)
    group.addoption("--no-repro-diagnose", dest="repro_diagnose", action="store_false", help="tell the verdict alone")
    parser.addini("repro_diagnose", text, type="bool", default=True)
    for name, metavar, text in RECORD_OPTIONS:
        takes: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
        group.addoption("--" + name.replace("_", "-"), dest=name, default=None, help=text, **takes)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which another package adds its generator."""
    from pytest_repro import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """In a child process, run what the parent asks for instead of what the arguments select."""
    if any(name in os.environ for name in CHILD_VARIABLES):
        from pytest_repro.session.child import make_child

        config.pluginmanager.register(make_child(config), CHILD)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; start recording at once where the command line asks for it."""
    config.addinivalue_line("markers", MARKER)
    options = config.option
    if config.pluginmanager.hasplugin(CHILD):
        return
    asked = any(getattr(options, name, None) is not None for name, *_ in OPTIONS)
    asked |= any(getattr(options, name, None) is not None for name, *_ in RECORD_OPTIONS)
    ini = any(config.getini(name) for name, *_ in OPTIONS)
    if asked or ini or options.repro_json is not None or getattr(options, "dist", "no") != "no":
        start_recording(config)


def start_recording(config: pytest.Config) -> Recorder:
    """Register the session's recorder, once."""
    from pytest_repro.errors import UsageError
    from pytest_repro.session.recorder import RECORDER_KEY, Recorder
    from pytest_repro.session.settings import read_session_settings

    recorder = config.stash.get(RECORDER_KEY, None)
    if recorder is None:
        try:
            settings = read_session_settings(config)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        recorder = Recorder(config, settings)
        config.stash[RECORDER_KEY] = recorder
        config.pluginmanager.register(recorder, "repro-recorder")
    return recorder


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give every xdist worker the same base seed and the user's arguments."""
    node.workerinput["repro_base_seed"] = start_recording(node.config).settings.base_seed
    # For the children of a worker, which was itself started without them.
    node.workerinput["repro_arguments"] = [os.fspath(argument) for argument in node.config.invocation_params.args]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check the markers as soon as they are collected: a misspelt bound must not wait for a long run."""
    report = yield
    marked = [item for item in _marked(report.result or ()) if isinstance(item, pytest.Function)]
    if marked and not collector.config.pluginmanager.hasplugin(CHILD):
        from pytest_repro.session.recorder import check_collected

        start_recording(collector.config)
        problems = check_collected(marked)
        if problems:
            report.outcome = "failed"
            report.longrepr = "\n".join(problems)
            report.result = []
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take tests that were marked after they were collected, as a conftest marks a whole suite."""
    config = session.config
    if config.pluginmanager.hasplugin(CHILD) or config.pluginmanager.hasplugin("repro-recorder"):
        return
    marked = _marked(session.items)
    if marked:
        from pytest_repro.session.recorder import check_collected

        start_recording(config)
        if problems := check_collected([item for item in marked if isinstance(item, pytest.Function)]):
            raise pytest.UsageError("\n".join(problems))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give an axis that is an argument of the test its baseline value, under an unchanged node id."""
    config = metafunc.config
    marks = list(metafunc.definition.iter_markers(NAME))
    plugins = config.pluginmanager
    if not marks and not (plugins.hasplugin("repro-recorder") or plugins.hasplugin(CHILD)):
        return
    marked = next((mark.kwargs["across"] for mark in marks if "across" in mark.kwargs), None)
    option = config.option.repro_across or (config.getini("repro_across") if marked is None else None) or None
    if option is None and marked is None:
        return
    from pytest_repro.errors import UsageError
    from pytest_repro.session.planning import collected_arguments

    names = metafunc._arg2fixturedefs.keys() | set(metafunc.fixturenames)
    try:
        arguments = collected_arguments(marked, option, names)
    except UsageError:
        return  # Told by name once the test is collected.
    for name, value in arguments.items():
        metafunc.parametrize(name, [value], ids=[pytest.HIDDEN_PARAM])


def _marked(nodes: Sequence[Any]) -> list[Any]:
    """Return the tests with the marker; each parent is asked once, for a suite may hold 10,000 tests without it."""
    by_parent: dict[Any, bool] = {}
    marked = []
    for node in nodes:
        if not isinstance(node, pytest.Item):
            continue
        parent = node.parent
        if parent not in by_parent:
            by_parent[parent] = parent is not None and parent.get_closest_marker(NAME) is not None
        if by_parent[parent] or any(mark.name == NAME for mark in node.own_markers):
            marked.append(node)
    return marked


def pytest_report_header(config: pytest.Config) -> str | None:
    """Tell a seed that was drawn: without it the session could not be repeated."""
    from pytest_repro.session.recorder import RECORDER_KEY

    recorder = config.stash.get(RECORDER_KEY, None)
    if recorder is None or not recorder.settings.seed_on_command_line:
        return None
    return f"repro: --repro-seed={recorder.settings.base_seed}"


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed ``==`` between arrays, tensors and comparisons."""
    import sys

    if op != "==" or "numpy" not in sys.modules or "pytest_repro.comparing" not in sys.modules:
        return None
    from pytest_repro.comparing.message import explain_assert

    return explain_assert(op, left, right)


@pytest.fixture
def repro(request: pytest.FixtureRequest) -> Repro:
    """The run in progress: `.seed`, `.rng`, `.device`, `.run`, `.capture(name, value)`, `.step(i, **values)`."""
    from pytest_repro.session.fixtures import make_repro

    return make_repro(request)


@pytest.fixture
def seed_all(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seed every generator with this test's seed, and restore them afterwards."""
    from pytest_repro.session.fixtures import seeded_for

    with seeded_for(request) as seed:
        yield seed


@pytest.fixture
def deterministic() -> Iterator[Any]:
    """Deterministic kernels for this test; put back afterwards."""
    from pytest_repro.seeding import deterministic as switch_on

    with switch_on() as settings:
        yield settings
