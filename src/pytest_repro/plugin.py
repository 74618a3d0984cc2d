"""The pytest plugin: options, marker, fixtures. Every session loads it, so it imports nothing heavy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.frameworks import asking

#: Variable of the program that started a child (`engines.start_child`): its plugin's module, the path of its settings.
STARTED = "PYTEST_REPRO_CHILD"
#: Name of the plugin that a child registers.
CHILD = "repro-child"

if TYPE_CHECKING:
    from pytest_repro.engines.current import Repro
    from pytest_repro.session.recorder import Recorder

#: Folder of this package, as code objects name it.
_FOLDER = __file__.removesuffix("plugin.py")
NAME = "reproducible"
MARKER = (
    "reproducible(*, runs=2, across=None, max_ulp=0, rtol=0.0, atol=0.0, norm=None, tolerance=None, seed=None, "
    "seed_control=False, timeout=None, tier='auto', skip=None): run the test several times and compare what it "
    "returns, or captures with repro.capture(name, value), with run 1, bit for bit unless a bound is given. "
    "skip='reason' excludes the test from that."
)

#: Kind of an option -> the types of its ini key, those of a union for pytest >= 9.2 and for older releases.
INI_TYPES: dict[str, tuple[Any, Any]] = {
    "flag": ("bool", "bool"),
    "int": ("int", "int"),
    "float": ("float", "float"),
    "text": ("string", "string"),
    "list": ("linelist", "linelist"),
    "int|text": (int | str, "string"),
    "float|text": (float | str, "string"),
}

#: name, kind (of `INI_TYPES`), metavar, help. Every option has an ini twin of the same name.
OPTIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        "repro_runs",
        "int",
        "N",
        "run each reproducible test N times; on the command line also unmarked tests that return something",
    ),
    ("repro_across", "list", "AXES", "axes that the results must not depend on: hash_seed,threads=1:2,isa or all"),
    ("repro_seed", "int|text", "N|random", "base of every test's seed (default 0)"),
    (
        "repro_all",
        "flag",
        "",
        "repeat unmarked tests too; a test that returns nothing is compared by its outcome and its local variables",
    ),
    ("repro_isolate", "flag", "", "make each run in its own process"),
    (
        "repro_require",
        "list",
        "AXIS:VALUE",
        "stop if it is missing (device:cuda), so that no GPU job passes by skipping its tests",
    ),
    ("repro_seed_control", "flag", "", "add a run with another seed, which must give another result"),
    ("repro_max_ulp", "int", "N", "distance [ulp] that an element may have from run 1"),
    ("repro_rtol", "float", "X", "relative difference that an element may have from run 1"),
    ("repro_atol", "float", "X", "absolute difference that an element may have from run 1"),
    ("repro_verify", "text", "DIR", "compare each reproducible test with its record in DIR"),
    (
        "repro_known",
        "text",
        "FILE",
        "let the findings in FILE occur as expected failures, and fail on all others (pytest-repro known writes FILE)",
    ),
    ("repro_report", "flag", "", "list what diverges or is inconclusive as expected failures: no test fails by it"),
    ("repro_html", "text", "FILE", "write an HTML report to FILE: one page without other files"),
    (
        "repro_diagnose_budget",
        "float|text",
        "TIME",
        "CPU time for what follows one test's verdict: controls, isolation of axes, diagnosis (default 30 s)",
    ),
    ("repro_budget", "float|text", "TIME", "the same for all tests of the session together (default 10m)"),
    ("repro_memory", "int|text", "SIZE", "captured results beyond this size go to disk (default 1GiB)"),
    ("repro_audit", "flag", "", "add pip-audit's report on the installed packages to the bundle of evidence"),
    ("repro_audit_timeout", "float", "S", "time limit for pip-audit [s] (default 120)"),
)

#: Switches that are on by default, each with an ini twin.
SWITCHES = ("repro_diagnose", "repro_hints")
#: Options without ini twins, as (name, metavar, help): each is a single act.
RECORD_OPTIONS = (
    ("repro_record", "DIR", "write a record of each reproducible test to DIR, and overwrite none"),
    ("repro_update", "", "overwrite records that differ; needs --repro-reason"),
    ("repro_collect", "DIR", "collect records in the new folder DIR, named by the environment, for pytest-repro merge"),
    (
        "repro_collect_arrays",
        "SIZE",
        "largest arrays of a test to collect: all (default), none, or a size such as 1MiB",
    ),
    ("repro_reason", "TEXT", "why records are overwritten; kept in the records"),
    ("repro_evidence", "DIR", "write a bundle of evidence to DIR: results, circumstances, in-toto statement"),
    ("repro_evidence_patch", "", "add the changes of the code since its commit to the bundle, as a patch"),
    ("repro_evidence_values", "", "keep the values of local variables that a diagnosis shows in the bundle"),
    ("repro_audit_report", "FILE", "as --repro-audit, with an existing report (pip-audit --format json)"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their ini twins."""
    group = parser.getgroup("repro", "reproducibility (pytest-repro)")
    for name, kind, metavar, text in OPTIONS:
        flag = "--" + name.replace("_", "-")
        if kind == "flag":
            group.addoption(flag, dest=name, action="store_true", default=None, help=text)
        else:
            group.addoption(flag, dest=name, metavar=metavar, default=None, help=text)
        _add_key(parser, name, kind, text)
    group.addoption(
        "--repro-json", dest="repro_json", metavar="FILE", default=None, help="write every verdict and figure to FILE"
    )
    text = "find out with extra runs why a test diverged (default; --no-repro-diagnose omits it)"
    group.addoption("--repro-diagnose", dest="repro_diagnose", action="store_true", default=None, help=text)
    group.addoption("--no-repro-diagnose", dest="repro_diagnose", action="store_false", help="report only the verdict")
    _add_key(parser, "repro_diagnose", "flag", text, default=True)
    text = "say after an identical verdict what the test reached and no run varied (default; --no-repro-hints omits it)"
    group.addoption("--repro-hints", dest="repro_hints", action="store_true", default=None, help=text)
    group.addoption("--no-repro-hints", dest="repro_hints", action="store_false", help="give no hints")
    _add_key(parser, "repro_hints", "flag", text, default=True)
    for name, metavar, text in RECORD_OPTIONS:
        takes: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
        group.addoption("--" + name.replace("_", "-"), dest=name, default=None, help=text, **takes)


def _add_key(parser: pytest.Parser, name: str, kind: str, text: str, *, default: bool = False) -> None:
    """Declare the ini twin of an option, with its type."""
    types, initial = INI_TYPES[kind], default if kind == "flag" else None
    parser.addini(name, text, type=types[pytest.version_tuple < (9, 2)], default=initial)


def _load_ini_values() -> Any:
    """Return the module that reads the keys, which is loaded only where one is read."""
    from pytest_repro.session import ini_values

    if not ini_values.KINDS:
        ini_values.KINDS.update({name: kind for name, kind, *_ in OPTIONS} | dict.fromkeys(SWITCHES, "flag"))
    return ini_values


def _is_in_ini(config: pytest.Config, name: str) -> bool:
    """Return whether a key has a value other than off and empty, right or wrong."""
    try:
        return bool(config.getini(name))
    except (TypeError, ValueError, pytest.UsageError, pytest.PytestWarning):
        return True  # which is explained when it is read


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which another package adds its generator, or has its values captured."""
    from pytest_repro import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Begin what a diagnosis requests of a child process before it imports any of the user's modules."""
    started = vars(sys.modules["__main__"]).get(STARTED) if "__main__" in sys.modules else None
    if started is not None and started[0] == "child":
        importlib.import_module("pytest_repro.session.child").begin_imports(started[1])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Run the parent's job, in a child process, instead of the tests that the arguments select."""
    started = vars(sys.modules["__main__"]).pop(STARTED, None) if "__main__" in sys.modules else None
    if started is not None:
        module, path = started
        make_plugin = importlib.import_module(f"pytest_repro.session.{module}").make_plugin
        config.pluginmanager.register(make_plugin(config, path), CHILD)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the recorder if an option of the plugin is given."""
    config.addinivalue_line("markers", MARKER)
    config.add_cleanup(asking.begin(config.hook.pytest_repro_capture))
    options = config.option
    if config.pluginmanager.hasplugin(CHILD):
        return
    asked = any(getattr(options, name, None) is not None for name, *_ in OPTIONS)
    asked |= any(getattr(options, name, None) is not None for name, *_ in RECORD_OPTIONS)
    ini = any(_is_in_ini(config, name) for name, *_ in OPTIONS)
    if asked or ini or options.repro_json is not None or getattr(options, "dist", "no") != "no":
        start_recording(config)


def start_recording(config: pytest.Config) -> Recorder:
    """Register the session's recorder, once."""
    from pytest_repro.errors import UsageError
    from pytest_repro.session.acceptance import read_accepting
    from pytest_repro.session.recorder import RECORDER_KEY, Recorder
    from pytest_repro.session.settings import read_session_settings

    recorder = config.stash.get(RECORDER_KEY, None)
    if recorder is None:
        _load_ini_values()
        try:
            settings, accepting = read_session_settings(config), read_accepting(config)
        except UsageError as error:
            from pytest_repro.model.redaction import redact_assignments

            raise pytest.UsageError(redact_assignments(str(error))) from None
        recorder = Recorder(config, settings, accepting)
        config.stash[RECORDER_KEY] = recorder
        config.pluginmanager.register(recorder, "repro-recorder")
    return recorder


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Check the markers as soon as they are collected: a misspelt bound must not end a long run."""
    report = yield
    if problems := _describe_misspelt(collector.config, [collector, *(report.result or ())]):
        report.outcome = "failed"
        report.longrepr = "\n".join(problems)
        report.result = []
        return report
    marked = [item for item in _marked(report.result or ()) if isinstance(item, pytest.Function)]
    if marked and not collector.config.pluginmanager.hasplugin(CHILD):
        from pytest_repro.session.settings import check_collected

        start_recording(collector.config)
        problems = check_collected(marked)
        if problems:
            report.outcome = "failed"
            report.longrepr = "\n".join(problems)
            report.result = []
    return report


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Show a failure without the plugin's frames, where it went through any: also of a test without the marker."""
    traceback = call.excinfo.tb if call.excinfo is not None else None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.startswith(_FOLDER):
            from pytest_repro.session.own_frames import remove_own_frames

            remove_own_frames(call)
            return
        traceback = traceback.tb_next


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find tests that were marked after they were collected, as a conftest marks a whole suite."""
    config = session.config
    if problems := _describe_misspelt(config, session.items):
        raise pytest.UsageError("\n".join(problems))
    if config.pluginmanager.hasplugin(CHILD) or config.pluginmanager.hasplugin("repro-recorder"):
        return
    marked = _marked(session.items)
    if marked:
        from pytest_repro.session.settings import check_collected

        start_recording(config)
        if problems := check_collected([item for item in marked if isinstance(item, pytest.Function)]):
            raise pytest.UsageError("\n".join(problems))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give an axis that is an argument of the test its baseline value, under an unchanged node id."""
    config, plugins = metafunc.config, metafunc.config.pluginmanager
    marks = list(metafunc.definition.iter_markers(NAME))
    if not marks and not (plugins.hasplugin("repro-recorder") or plugins.hasplugin(CHILD)):
        return
    option, ini = config.option.repro_across or "", _load_ini_values().read_key(config, "repro_across") or ""
    if not (option or ini or any("across" in mark.kwargs for mark in marks)):
        return
    from pytest_repro.errors import UsageError
    from pytest_repro.session.across import collected_arguments

    names = metafunc._arg2fixturedefs.keys() | set(metafunc.fixturenames)
    try:
        arguments = collected_arguments(metafunc.definition, option, ini, names)
    except UsageError:
        return  # reported with the test's name once the test is collected
    for name, value in arguments.items():
        metafunc.parametrize(name, [value], ids=[pytest.HIDDEN_PARAM])


def _marked(nodes: Sequence[Any]) -> list[Any]:
    """Return the tests with the marker. Each parent is asked once: a suite may hold 10,000 tests without it."""
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


def _describe_misspelt(config: pytest.Config, nodes: Sequence[Any]) -> list[str]:
    """Describe the markers that are misspelt. Most names are passed over by two look-ups: a suite may hold 10,000."""
    named = [
        (mark.name, node.nodeid)
        for node in nodes
        for mark in getattr(node, "own_markers", ())
        if mark.name != NAME and ("prod" in mark.name.lower() or mark.name[:3].lower() == "rep")
    ]
    if not named or config.pluginmanager.hasplugin(CHILD):
        return []
    from pytest_repro.session.misspelt import describe_misspelt

    return describe_misspelt(config, named)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed ``==`` between arrays, tensors and comparisons."""
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
    """Use deterministic kernels for this test, and restore the settings afterwards."""
    from pytest_repro.seeding import deterministic as switch_on

    with switch_on() as settings:
        yield settings
