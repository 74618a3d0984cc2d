"""Refusal of DuckDB's relations."""

from __future__ import annotations

import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError

duckdb = pytest.importorskip("duckdb")


def test_a_relation_is_rejected_with_the_fix() -> None:
    relation = duckdb.sql("select 1 as n")
    with pytest.raises(
        UnsupportedTypeError, match=r"'rows' .*any order.*relation.order\(\"...\"\).df\(\) or .arrow\(\)"
    ):
        capture_tree({"rows": relation})
    with pytest.raises(UnsupportedTypeError, match="no result"):
        capture_tree(duckdb.connect())


def test_what_a_relation_gives_is_captured() -> None:
    pytest.importorskip("pandas")
    assert "result/data/n" in capture_tree(duckdb.sql("select 1 as n").df()).names
