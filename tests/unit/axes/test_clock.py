"""Shift of the time of day, with time-machine and without, in real interpreters."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, find_axis
from pytest_repro.axes.clock import DEFAULT_SHIFT_S, has_time_machine, read_real_time
from pytest_repro.engines.condition import apply_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition
from tests.unit.axes.children import Child, judge, run_child

needs_time_machine = pytest.mark.skipif(not has_time_machine(), reason="time-machine 3 or newer is not installed")

#: Makes time-machine invisible to the child.
WITHOUT = """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "time_machine" else real(name, *rest)
"""

READ = """
import ctypes, datetime, time, uuid
from pytest_repro.axes.clock import read_real_time
real = read_real_time()
seen["time"] = time.time() - real
seen["time_ns"] = time.time_ns() / 1e9 - real
seen["clock_gettime"] = time.clock_gettime(time.CLOCK_REALTIME) - real
seen["localtime"] = time.mktime(time.localtime()) - real
seen["gmtime"] = __import__("calendar").timegm(time.gmtime()) - real
seen["ctime"] = time.mktime(time.strptime(time.ctime())) - real
seen["asctime"] = time.mktime(time.strptime(time.asctime())) - real
seen["strftime"] = time.mktime(time.strptime(time.strftime("%Y-%m-%d %H:%M:%S"), "%Y-%m-%d %H:%M:%S")) - real
seen["fixed"] = [time.gmtime(0).tm_year, time.strftime("%Y", time.gmtime(0)), time.ctime(0)[-4:]]
seen["now"] = datetime.datetime.now(datetime.timezone.utc).timestamp() - real
seen["today"] = datetime.datetime.today().timestamp() - real
seen["date"] = (datetime.date.today() - datetime.date.fromtimestamp(real)).days
started = time.monotonic(), time.perf_counter(), time.time()
time.sleep(0.05)
seen["monotonic"], seen["perf_counter"], seen["ticks"] = (
    time.monotonic() - started[0], time.perf_counter() - started[1], time.time() - started[2])
seen["monotonic_shift"] = time.clock_gettime(time.CLOCK_MONOTONIC) - time.monotonic()
"""

CLOCKS = ("time", "time_ns", "clock_gettime", "localtime", "gmtime", "ctime", "asctime", "strftime")


def check_shifted(child: Child, clocks: tuple[str, ...]) -> None:
    for clock in clocks:
        assert child.seen[clock] == pytest.approx(DEFAULT_SHIFT_S, abs=3), clock
    assert child.seen["date"] in (400, 401)
    assert child.seen["fixed"] == [1970, "1970", "1970"]
    for duration in ("monotonic", "perf_counter", "ticks"):
        assert 0.05 <= child.seen[duration] < 2, duration
    assert abs(child.seen["monotonic_shift"]) < 2


@needs_time_machine
def test_every_clock_of_the_standard_library_is_shifted_except_the_monotonic_ones() -> None:
    plain, shifted = run_child({"clock": 0}, READ), run_child({"clock": DEFAULT_SHIFT_S}, READ)
    check_shifted(shifted, (*CLOCKS, "now", "today"))
    assert all(abs(plain.seen[clock]) < 3 for clock in (*CLOCKS, "now", "today"))
    assert shifted.effect.problems == ()
    assert judge(plain, shifted, "clock").status == "varied"


@needs_time_machine
def test_names_bound_earlier_and_pandas_imported_later_are_shifted() -> None:
    pytest.importorskip("pandas")
    before = "from time import time; from datetime import datetime; import sys; sys.bound = (time, datetime)"
    body = """
import sys, pandas
from pytest_repro.axes.clock import read_real_time
time, datetime = sys.bound
real = read_real_time()
seen["shifts"] = [time() - real, datetime.now().timestamp() - real, pandas.Timestamp.now("UTC").timestamp() - real]
seen["exact"] = type(datetime.now()) is datetime
"""
    child = run_child({"clock": 3600}, body, before=before)
    assert child.seen["shifts"] == pytest.approx([3600] * 3, abs=5)
    assert child.seen["exact"]


def test_without_time_machine_the_time_module_is_shifted_and_other_clocks_are_reported() -> None:
    plain = run_child({"clock": 0}, READ, before=WITHOUT)
    shifted = run_child({"clock": DEFAULT_SHIFT_S}, READ, before=WITHOUT)
    check_shifted(shifted, CLOCKS)
    problems = [reason for component, reason in shifted.effect.problems if component == "datetime.now"]
    assert any("extra 'clock'" in reason for reason in problems)
    variation = judge(plain, shifted, "clock")
    assert "time.time" in variation.varied


def test_without_time_machine_the_users_modules_get_a_shifted_datetime(tmp_path: Path) -> None:
    (tmp_path / "users_code.py").write_text(
        "import datetime\nfrom datetime import date, datetime as dt\n"
        "def read():\n"
        "    return [datetime.datetime.now(), dt.now(), dt.utcnow(), dt.today(), datetime.date.today(), date.today()]\n"
        "def check():\n"
        "    made = dt(2024, 1, 2)\n"
        "    return [isinstance(made, dt), isinstance(dt.now(), datetime.datetime), issubclass(dt, date),\n"
        "            made == dt.fromisoformat('2024-01-02'), dt.strptime('2024', '%Y').year == 2024,\n"
        "            isinstance(date(2024, 1, 2), date), not isinstance(date(2024, 1, 2), dt), dt.max.year == 9999,\n"
        "            made - datetime.timedelta(days=1) < made, type(made).__name__ == 'datetime']\n"
    )
    before = WITHOUT + f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import users_code"
    body = "import users_code; seen['days'] = [v.year for v in users_code.read()]; seen['checks'] = users_code.check()"
    after = "import users_code; seen['after'] = [v.year for v in users_code.read()]"
    child = run_child({"clock": 800 * 86_400}, body, before=before, after=after)
    year = datetime.date.today().year
    shifted = (datetime.datetime.now() + datetime.timedelta(days=800)).year
    assert child.seen == {"days": [shifted] * 6, "checks": [True] * 10, "after": [year] * 6}


def test_without_time_machine_pandas_can_be_imported_while_the_clock_is_shifted() -> None:
    pytest.importorskip("pandas")
    body = "import pandas; pandas.Timestamp.now(); seen['year'] = pandas.Timestamp('2024-01-02').year"
    assert run_child({"clock": 86_400}, body, before=WITHOUT).seen["year"] == 2024


def test_the_default_shift_crosses_every_field_of_a_date_on_every_day() -> None:
    shift = datetime.timedelta(seconds=DEFAULT_SHIFT_S)
    start = datetime.datetime(2023, 1, 1)
    for hour in range(0, 6 * 366 * 24, 7):
        one = start + datetime.timedelta(hours=hour, minutes=hour % 60)
        other = one + shift
        for field in ("year", "month", "day", "hour", "minute", "second"):
            assert getattr(one, field) != getattr(other, field), (one, field)
        assert one.weekday() != other.weekday()


def test_the_clocks_are_restored_after_an_error(tmp_path: Path) -> None:
    real = time.time
    with pytest.raises(ZeroDivisionError), apply_condition(Condition((("clock", 86_400),)), AxisContext(tmp_path)):
        raise ZeroDivisionError
    assert time.time is real
    assert abs(time.time() - read_real_time()) < 1


@pytest.mark.parametrize("bad", ["1 day", None, True, -(10**12), 10**12, [1]])
def test_a_value_that_is_not_a_shift_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="clock"):
        find_axis("clock").validate(bad)  # type: ignore[arg-type]
