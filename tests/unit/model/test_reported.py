"""A document of --repro-json, or a file that claims to be one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import StoreError
from pytest_repro.model.reported import decode_session, encode_session
from pytest_repro.reporting.json_report import read_report
from tests.unit.reporting.html.reading import case, difference, document, full_case, read

FACTS = {"environment": {"cpu": {"model": "m"}, "packages": {"a": {"version": "1"}}}, "code": {"commit": None}}


def test_every_part_is_read() -> None:
    (test,) = read(full_case("x"))
    assert (test.nodeid, test.verdict, test.seed, test.divergences_left_out) == ("x", "diverged", 42, 7)
    (found,) = test.divergences
    assert (found.run, found.shape, found.max_ulp, found.ulp_histogram) == (2, (4, 25), 5000, (0, 1, 0, 9, 80))
    assert test.diagnosis is not None
    (cause,) = test.diagnosis.causes
    assert cause.location is not None
    assert (cause.location.file, cause.location.line) == ("x", 41)
    assert test.record is not None
    assert test.record.circumstances[0].here == {"unavailable": "x"}
    assert test.steps[0].points[3].max_abs == 1e-6


def test_the_minimum_that_the_schema_requires_is_enough() -> None:
    least = {"nodeid": "t", "verdict": "error", "seed": 0, "runs": [], "divergences": [], "diagnosis": None}
    (test,) = read(least)
    assert (test.record, test.matrix, test.steps, test.reason) == (None, {}, (), "")


def test_unknown_keys_are_ignored() -> None:
    known = {**case(), "later": {"more": [1]}}
    assert decode_session({**document(known), "later": 1}).tests[0].nodeid == "tests/test_a.py::test_it"


def test_large_counts_and_numbers_that_json_lacks_are_read() -> None:
    large = difference(max_ulp=str(2**63), max_abs="inf", max_rel="nan", norm_rel=None)
    (test,) = read(case(divergences=[{"run": 2, **large}]))
    (found,) = test.divergences
    assert (found.max_ulp, found.max_abs, found.norm_rel) == (2**63, math.inf, None)
    assert found.max_rel is not None
    assert math.isnan(found.max_rel)


def test_a_document_that_was_read_is_written_with_the_same_values() -> None:
    again = encode_session(decode_session({**document(full_case(), case()), **FACTS}))
    assert decode_session(again) == decode_session(json.loads(json.dumps(again)))
    assert encode_session(decode_session(again)) == again
    assert {key: again[key] for key in FACTS} == FACTS
    assert set(encode_session(decode_session(document()))) == {"schema_version", "tests", "is_finished"}
    for given, written in zip(document(full_case(), case())["tests"], again["tests"], strict=True):
        assert_contains(written, given, "tests")


def assert_contains(written: Any, given: Any, where: str) -> None:
    """Check that all values of a document are in another one, which may have more keys."""
    if isinstance(given, dict):
        for key, value in given.items():
            assert_contains(written[key], value, f"{where}.{key}")
    elif isinstance(given, list):
        assert len(written) == len(given), where
        for n, (one, other) in enumerate(zip(written, given, strict=True)):
            assert_contains(one, other, f"{where}[{n}]")
    else:
        assert written == given, where


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schema_version": 2, "tests": []}, "schema_version is 2; this release reads 1"),
        ({"schema_version": True, "tests": []}, "schema_version is True"),
        ({"tests": []}, "schema_version is missing"),
        ([], "the document must be an object, got a list of 0"),
        ({"schema_version": 1, "tests": {}}, "tests must be a list, got an object"),
        ({"schema_version": 1, "tests": None}, "tests is missing"),
        (document(case(), "x"), r"tests\[1\] must be an object, got 'x'"),  # type: ignore[arg-type]
        (document({"verdict": "identical", "seed": 1}), r"tests\[0\].nodeid is missing"),
        (document(case(verdict="fine")), r"tests\[0\].verdict must be one of diverged, .*, got 'fine'"),
        (document(case(verdict=[])), r"tests\[0\].verdict must be one of .*, got a list of 0"),
        (document(case(seed="<x>")), "seed must be an integer >= 0, got '<x>'"),
        (document(case(seed=-1)), "seed must be an integer >= 0, got -1"),
        (document(case(seed=True)), "seed must be an integer >= 0, got true"),
        (document(case(notes=[1])), r"notes\[0\] must be text, got 1"),
        (document(case(matrix={"a": "maybe"})), r"tests\[0\].matrix.a must be one of .*, got 'maybe'"),
        (document(case(matrix={"\x1b[2J": 3})), r"tests\[0\].matrix\['\\x1b\[2J'\] must be one of .*, got 3"),
        (document(case(divergences=[difference(kind="x")])), r"divergences\[0\].kind"),
        (document(case(divergences=[difference(max_abs="1.5")])), "max_abs must be a number, 'inf', '-inf' or 'nan'"),
        (document(case(divergences=[difference(max_abs=True)])), "max_abs must be a number, .*, got true"),
        (document(case(divergences=[difference(max_abs=10**400)])), "max_abs must be a number"),
        (document(case(divergences=[difference(max_ulp="9" * 41)])), "max_ulp must be an integer >= 0, got '9{40}...'"),
        (document(case(divergences=[difference(shape=[3, -1])])), r"shape\[1\] must be an integer >= 0"),
        (document(case(record=[])), "record must be an object, got a list of 0"),
        (document(case(record={"path": "a"})), "record.status is missing"),
        (document(case(runs=[{"index": 1, "condition": 3}])), r"runs\[0\].condition must be an object, got 3"),
        (document(case(diagnosis={"causes": [{"code": "a", "location": {"file": "a"}}]})), "location.line is missing"),
        (document(case(diagnosis={"complete": 1})), "diagnosis.complete must be true or false, got 1"),
        (
            document(case(diagnosis={"first_divergence": {"file": "a", "line": 1, "function": "f", "name": "x",
                                                          "callers": [["a", 1]]}})),
            r"first_divergence.callers\[0\] must be a list of 3, got a list of 2",
        ),
    ],
)  # fmt: skip
def test_a_malformed_document_is_rejected_with_the_place_and_the_expectation(wrong: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        decode_session(wrong)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"tests": [1]}', b"\xff\xfe", b"[" * 200_000, b"1" * 10_000,
     b'{"a": ' + b"9" * 5000 + b"}", b"PK\x03\x04"],
)  # fmt: skip
def test_a_file_of_another_form_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"report\.json is not a report of --repro-json: "):
        read_report(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document(case())), encoding="utf-8")
    assert read_report(path) == decode_session(document(case()))
