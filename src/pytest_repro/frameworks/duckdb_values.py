"""DuckDB's relations and connections, which are queries and not results."""

from __future__ import annotations

from typing import Any

import duckdb

from pytest_repro.frameworks.base_values import Branch, Handler, NotComparableError


def refuse_relation(relation: Any) -> Branch:
    """Reject a relation, whose rows have no order until it is sorted."""
    raise NotComparableError(
        "a relation is a query that has not run, and its rows may come in any order; return "
        'relation.order("...").df() or .arrow(), or allow any order by Tolerance(rows="unordered")'
    )


def refuse_connection(connection: Any) -> Branch:
    """Reject a connection."""
    raise NotComparableError('a connection is no result; return what a query gives: connection.sql("...").arrow()')


HANDLERS: dict[type, Handler] = {
    duckdb.DuckDBPyRelation: refuse_relation,
    duckdb.DuckDBPyConnection: refuse_connection,
}
