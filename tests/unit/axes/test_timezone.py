"""Time zones, in real interpreters and in this one."""

from __future__ import annotations

import os
import time

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.engines.condition import apply_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition
from tests.unit.axes.children import judge, run_child

HOUR = "import datetime; seen['hour'] = datetime.datetime.fromtimestamp(1_700_000_000).strftime('%H:%M')"


@pytest.mark.parametrize("rule", ["UTC0", "EST5EDT,M3.2.0,M11.1.0", "<+0545>-5:45"])
def test_rules_are_accepted_in_place_of_names(rule: str) -> None:
    axis = find_axis("timezone")
    axis.validate(rule)
    assert axis.unavailable_value(rule, Machine.here()) is None


def test_each_default_zone_has_a_different_local_time() -> None:
    children = [run_child({"timezone": zone}, HOUR) for zone in find_axis("timezone").default_values(Machine.here())]
    assert [child.seen["hour"] for child in children] == ["22:13", "17:13", "03:58"]
    assert judge(children[0], children[2], "timezone").status == "varied"


def test_zones_with_the_same_rules_count_as_not_varied() -> None:
    one, other = run_child({"timezone": "EST5EDT"}), run_child({"timezone": "EST5EDT,M3.2.0,M11.1.0"})
    assert judge(one, other, "timezone").status == "not_varied"


def test_the_zone_of_a_running_process_is_restored(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    with apply_condition(Condition((("timezone", "<+09>-9"),)), AxisContext(tmp_path)):  # type: ignore[arg-type]
        assert time.localtime(0).tm_hour == 9
    assert (time.localtime(0).tm_hour, os.environ["TZ"]) == (0, "UTC0")


@pytest.mark.parametrize("bad", ["Asia/Tokio", "", 9, None, "../../etc/passwd"])
def test_a_zone_that_the_c_library_would_read_as_utc_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="timezone"):
        find_axis("timezone").validate(bad)  # type: ignore[arg-type]


def test_a_misspelt_zone_gets_the_right_one_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'Asia/Tokyo'"):
        find_axis("timezone").validate("Asia/Tokio")
