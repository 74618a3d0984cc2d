"""A document of --repro-json, or what claims to be one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import StoreError
from pytest_repro.reporting.html.document import parse_tests
from pytest_repro.reporting.json_report import read_document
from tests.unit.reporting.html.reading import case, difference, document, full_case


def test_every_part_is_read() -> None:
    (test,) = parse_tests(document(full_case("x")))
    assert (test.nodeid, test.verdict, test.seed, test.left_out) == ("x", "diverged", 42, 7)
    (found,) = test.divergences
    assert (found.run, found.shape, found.max_ulp, found.histogram) == (2, "(4, 25)", 5000, (0, 1, 0, 9, 80))
    assert test.diagnosis is not None
    assert test.diagnosis.causes[0].place == {"file": "x", "line": "41"}
    assert test.record is not None
    assert test.record.circumstances[0].here == {"unavailable": "x"}
    assert test.steps[0].points[3].max_abs == 1e-6


def test_the_least_that_the_schema_requires_is_enough() -> None:
    least = {"nodeid": "t", "verdict": "error", "seed": 0, "runs": [], "divergences": [], "diagnosis": None}
    (test,) = parse_tests(document(least))
    assert (test.record, test.matrix, test.steps, test.reason) == (None, {}, (), "")


def test_keys_that_are_not_known_are_ignored() -> None:
    known = {**case(), "later": {"more": [1]}}
    assert parse_tests({**document(known), "later": 1})[0].nodeid == "tests/test_a.py::test_it"


def test_large_counts_and_numbers_that_json_lacks_are_read() -> None:
    large = difference(max_ulp=str(2**63), max_abs="inf", max_rel="nan", norm_rel=None)
    (test,) = parse_tests(document(case(divergences=[{"run": 2, **large}])))
    (found,) = test.divergences
    assert (found.max_ulp, found.max_abs, found.norm_rel) == (2**63, math.inf, None)
    assert found.max_rel is not None
    assert math.isnan(found.max_rel)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"schema_version": 2, "tests": []}, "schema_version is 2"),
        ({"schema_version": True, "tests": []}, "schema_version is True"),
        ({"tests": []}, "schema_version is not there"),
        ({"schema_version": 1, "tests": {}}, "tests is no list"),
        ({"schema_version": 1, "tests": None}, "tests is missing"),
        (document(case(), "x"), r"tests\[1\] is no object"),  # type: ignore[arg-type]
        (document({"verdict": "identical", "seed": 1}), r"tests\[0\].nodeid is missing"),
        (document(case(verdict="fine")), "verdict is 'fine', none of"),
        (document(case(seed="<x>")), "seed is no count"),
        (document(case(seed=-1)), "seed is no count"),
        (document(case(notes=[1])), "notes holds something that is no text"),
        (document(case(matrix={"a": "maybe"})), r"tests\[0\].matrix.a is 'maybe'"),
        (document(case(divergences=[difference(kind="x")])), r"divergences\[0\].kind"),
        (document(case(divergences=[difference(max_abs="1.5")])), "max_abs is no number"),
        (document(case(divergences=[difference(max_abs=True)])), "max_abs is no number"),
        (document(case(divergences=[difference(max_ulp="9" * 41)])), "max_ulp is no count"),
        (document(case(record=[])), "record is no object"),
    ],
)
def test_what_is_otherwise_is_refused_with_its_place(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(StoreError, match=told):
        parse_tests(wrong)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"[" * 200_000, b"1" * 10_000, b'{"a": ' + b"9" * 5000 + b"}", b"PK\x03\x04"],
)
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"report\.json"):
        read_document(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document(case())), encoding="utf-8")
    assert read_document(path) == document(case())
