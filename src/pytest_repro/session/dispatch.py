"""Choose who runs a test: this process, or processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_repro.engines import item_run
from pytest_repro.errors import ReproError, UsageError
from pytest_repro.model import TestResult, Verdict
from pytest_repro.reporting.json_report import result_to_json
from pytest_repro.session.examples import is_given_test
from pytest_repro.session.findings import NOT_AVAILABLE, AxisFindings
from pytest_repro.session.isolated import IsolatedProtocol
from pytest_repro.session.judging import Judge
from pytest_repro.session.planning import Plan, plan_runs
from pytest_repro.session.protocol import ItemProtocol
from pytest_repro.session.settings import TestSettings, read_marker, read_test_settings

if TYPE_CHECKING:
    from pytest_repro.session.recorder import Recorder


class NothingToVaryError(Exception):
    """None of a test's axes can be varied here, so there is nothing to run."""

    def __init__(self, result: TestResult) -> None:
        super().__init__(result.reason)
        self.result = result


def run_protocol(item: pytest.Function, nextitem: pytest.Item | None, recorder: Recorder) -> None:
    """Run a test to its verdict; a test that cannot be run as asked is an error of its own."""
    try:
        recorder.protocol = make_protocol(item, nextitem, recorder)
    except ReproError as error:
        failure = pytest.fail.Exception(str(error), pytrace=False)
        _report_unrun(item, nextitem, failure, TestResult(item.nodeid, Verdict.ERROR, 0, reason=str(error)))
    except NothingToVaryError as nothing:
        skip = pytest.skip.Exception(nothing.result.reason, _use_item_location=True)
        _report_unrun(item, nextitem, skip, nothing.result)
    else:
        recorder.protocol.run()


def make_protocol(
    item: pytest.Function, nextitem: pytest.Item | None, recorder: Recorder
) -> ItemProtocol | IsolatedProtocol:
    """Plan a test's runs and return what drives them.

    Raises
    ------
    UsageError
        If the test asks for what cannot be had here.
    """
    settings = read_test_settings(item, recorder.settings)
    plan = plan_runs(settings, item._fixtureinfo.argnames, item.nodeid)

    def make_judge() -> Judge:
        result = TestResult(item.nodeid, Verdict.ERROR, settings.seed, repeat_command=settings.repeat_command)
        findings = AxisFindings(plan.conditions, result) if plan.axis_names or plan.conditions.unavailable else None
        judge = Judge(settings, result, findings, recorder.make_record_step(item, settings))
        if not is_given_test(item):
            judge.diagnose = _make_diagnosis(item, plan, settings, recorder)
        return judge

    judge = make_judge()
    _skip_without_values(plan, settings, judge.result)
    if is_given_test(item):
        if plan.axis_names or settings.assertions:
            raise UsageError(f"{item.nodeid}: across= cannot be used with @given yet; leave one of the two out")
        _check_seed_control(item, settings, judge.result)
        if settings.isolate:
            note = "run in this process: examples of @given are repeated where Hypothesis makes them"
            judge.result.notes.append(note)
    elif plan.engine != "in_process":
        debugger = _find_debugger(item.config)
        if debugger is None:
            return IsolatedProtocol(item, nextitem, settings, make_judge, plan, recorder)
        option = f"--{debugger.removeprefix('use')}"
        if plan.conditions.needs != "in_process":
            raise UsageError(
                f"{item.nodeid}: its axes need processes of their own, where {option} cannot follow; leave {option} out"
            )
        judge.result.notes.append(f"run in this process, since {option} cannot follow a run into another")
    return ItemProtocol(item, nextitem, settings, judge, plan, recorder.live, recorder.make_spill)


def _find_debugger(config: pytest.Config) -> str | None:
    """Return the name of the option by which a debugger follows the session; None if none does."""
    return next((name for name in ("usepdb", "trace") if config.getoption(name, False)), None)


def _make_diagnosis(
    item: pytest.Function, plan: Plan, settings: TestSettings, recorder: Recorder
) -> Callable[[TestResult], None] | None:
    """Return what diagnoses the test should it diverge; None where that is not asked for or cannot be shown."""
    # Nobody reads the message of an expected failure, and the time is spent each time the suite is run.
    is_expected = item.get_closest_marker("xfail") is not None
    if not recorder.settings.diagnose or _find_debugger(item.config) is not None or is_expected:
        return None

    def diagnose(result: TestResult) -> None:
        # Only now: a session in which nothing diverges loads none of the twenty modules behind it.
        from pytest_repro.session import diagnosing

        means = diagnosing.DiagnosisMeans(
            budget_s=recorder.settings.diagnose_budget_s,
            memory_limit_bytes=recorder.settings.memory_limit_bytes,
            started=recorder.started,
            live=recorder.live,
            find_paths=lambda: sorted({str(other.path) for other in item.session.items if recorder.takes(other)}),
        )
        diagnosing.diagnose(item, plan, settings, means, result)

    return diagnose


def _skip_without_values(plan: Plan, settings: TestSettings, result: TestResult) -> None:
    """Skip a test all of whose axes are missing here, unless it is to be repeated anyhow."""
    if plan.conditions.unavailable and not plan.conditions.axes and not settings.runs_are_given:
        reasons = [f"axis {axis} is not available here: {reason}" for axis, reason in plan.conditions.unavailable]
        result.verdict, result.reason = Verdict.INCONCLUSIVE, "; ".join(reasons)
        result.matrix = {axis: NOT_AVAILABLE for axis, _ in plan.conditions.unavailable}
        raise NothingToVaryError(result)


def _report_unrun(
    item: pytest.Function, nextitem: pytest.Item | None, error: BaseException, result: TestResult
) -> None:
    """Report where the test's setup would stand; nothing of the test is run."""

    def refuse(original: Callable[[], None]) -> None:
        raise error from None

    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    with item_run.own_failures_shown_plainly(item):
        with item_run.replaced_setup(item, refuse):
            report, call = item_run.run_phase(item, "setup")
        report.repro = result_to_json(result)  # type: ignore[attr-defined]
        item_run.log_report(item, report, call)
        item_run.log_report(item, *item_run.run_phase(item, "teardown", nextitem=nextitem))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _check_seed_control(item: pytest.Function, settings: TestSettings, result: TestResult) -> None:
    """Refuse the marker's seed control beside ``@given``, and tell where the session's does not reach."""
    if read_marker(item).get("seed_control"):
        raise UsageError(f"{item.nodeid}: seed_control cannot be used with @given yet; leave one of the two out")
    if settings.seed_control:
        result.notes.append("no run with another seed: seed control cannot be used with @given yet")
