"""One pytest item, run several times through pytest's own hooks, and left unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.engines import item_run
from pytest_repro.errors import DivergenceError

ItemMaker = Callable[[str], pytest.Function]


@pytest.fixture
def make_item(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> ItemMaker:
    """Collect the one test of a source, without other installed plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def make(source: str) -> pytest.Function:
        item = pytester.getitem(source, "test_it")
        assert isinstance(item, pytest.Function)
        return item

    return make


def run_once(item: pytest.Function, *, goes_on: bool) -> list[pytest.TestReport]:
    """Run all three phases."""
    nextitem = item_run.next_item_of(item) if goes_on else None
    reports = [item_run.run_phase(item, "setup")[0], item_run.run_phase(item, "call")[0]]
    return [*reports, item_run.run_phase(item, "teardown", nextitem=nextitem)[0]]


def test_an_item_runs_many_times_with_fresh_fixtures_and_keeps_the_wider_ones(make_item: ItemMaker) -> None:
    item = make_item(
        """
        import pytest
        log = []

        @pytest.fixture(scope="module")
        def module():
            log.append("module")

        @pytest.fixture
        def fresh(module):
            log.append("up")
            yield
            log.append("down")

        def test_it(fresh, record_property):
            record_property("run", len(log))
            print("x")
        """
    )
    item.user_properties.append(("owner", "team"))
    state = item_run.ItemState(item)
    for run in range(3):
        if run:
            state.renew()
        assert all(report.passed for report in run_once(item, goes_on=run < 2))
        assert len(item.user_properties) == 2
    assert item.module.log == ["module", *["up", "down"] * 3]
    assert item.user_properties[0] == ("owner", "team")


def test_the_returned_value_is_caught_and_the_item_left_unchanged(make_item: ItemMaker) -> None:
    item = make_item("def test_it():\n    x = 2\n    return {'x': x}\n")
    before = item.obj
    caught: list[Any] = []
    variables: dict[str, object] = {}
    with item_run.caught_return(item, caught.append, variables):
        assert item.obj is not before
        assert [report.outcome for report in run_once(item, goes_on=False)] == ["passed"] * 3
    assert caught == [{"x": 2}]
    assert variables == {"x": 2}
    assert item.obj is before


def test_setup_and_call_can_be_replaced_inside_their_phases(make_item: ItemMaker) -> None:
    item = make_item("def test_it():\n    pass\n")
    order: list[str] = []

    def step(name: str) -> item_run.Step:
        def around(original: Callable[[], None]) -> None:
            order.append(f"before {name}")
            original()
            order.append(f"after {name}")

        return around

    with item_run.replaced_setup(item, step("setup")), item_run.replaced_runtest(item, step("call")):
        run_once(item, goes_on=False)
    assert order == ["before setup", "after setup", "before call", "after call"]
    assert "setup" not in item.__dict__
    assert "runtest" not in item.__dict__


def test_a_wrapper_on_the_item_is_restored(make_item: ItemMaker) -> None:
    item = make_item("def test_it():\n    pass\n")

    def wrapper() -> None:
        raise AssertionError("not called here")

    item.runtest = wrapper  # type: ignore[method-assign]
    with item_run.replaced_runtest(item, lambda original: None):
        assert item.runtest is not wrapper
    assert item.runtest is wrapper


def test_the_plugins_own_failure_is_shown_as_a_message_without_a_traceback(make_item: ItemMaker) -> None:
    item = make_item("def test_it():\n    pass\n")
    error = DivergenceError("Run 2 differs\n\n  details")

    state = item_run.ItemState(item)

    def fail(original: Callable[[], None]) -> None:
        raise error

    def reports() -> str:
        with item_run.replaced_runtest(item, fail):
            report = run_once(item, goes_on=False)[1]
        state.renew()
        return report.longreprtext

    with item_run.own_failures_shown_plainly(item):
        assert "Traceback" in reports() or "fail" in reports()
        error.raised_by_plugin = True  # type: ignore[attr-defined]
        plain = reports()
    assert plain == "Run 2 differs\n\n  details"
    assert "repr_failure" not in item.__dict__


def test_a_failure_is_in_the_report_of_its_phase(make_item: ItemMaker) -> None:
    item = make_item(
        """
        import pytest

        @pytest.fixture
        def broken():
            yield
            raise OSError("teardown")

        def test_it(broken):
            raise OSError("call")
        """
    )
    setup, call, teardown = run_once(item, goes_on=True)
    assert [report.outcome for report in (setup, call, teardown)] == ["passed", "failed", "failed"]
    assert [report.when for report in (setup, call, teardown)] == ["setup", "call", "teardown"]
