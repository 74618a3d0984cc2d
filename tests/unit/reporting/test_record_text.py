"""Lines about records in the terminal's summary."""

from __future__ import annotations

from dataclasses import replace

from pytest_repro.model.reported import Circumstance, ReportedRecord
from pytest_repro.reporting.record_text import circumstance_parts, record_lines
from tests.unit.reporting.test_markdown import entry

RECORD = ReportedRecord("verified", "r.json", tier="bits", tier_reason="it matches")


def test_a_record_that_was_not_compared_is_in_no_tier() -> None:
    other_seed = replace(RECORD, status="inconclusive", tier="bits")
    tests = [entry("t.py::a", record=RECORD), entry("t.py::b", record=other_seed)]
    assert "compared with records: 1 bit for bit" in record_lines(tests)
    assert not any("compared with" in line for line in record_lines(tests[1:]))


def test_another_tolerance_than_that_of_the_record_is_told_where_the_test_passes() -> None:
    found = Circumstance("tolerance", "", "no difference", "rtol=10", 40, False)
    lines = record_lines([entry("t.py::a", record=replace(RECORD, circumstances=(found,)))])
    assert "  tolerance: no difference -> rtol=10, since the record of t.py::a was made" in lines


def test_what_differs_comes_before_what_is_unknown() -> None:
    found = Circumstance("hash seed", "", "1", "2", 74, False)
    assert [part.label for part in circumstance_parts([found], ["the clock"])] == ["differs", "unknown"]
