"""Results whose rows may come in any order: `Tolerance(rows="unordered")`."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

ROWS = """
    import numpy as np
    import pytest
    from pytest_repro import Tolerance

    any_order = Tolerance(rows="unordered")
    table = np.arange(12.0).reshape(4, 3)

    @pytest.mark.reproducible(tolerance=any_order)
    def test_shuffled(repro):
        return {"table": np.roll(table, repro.run, axis=0)}

    @pytest.mark.reproducible(tolerance={"table": any_order})
    def test_changed(repro):
        other = np.roll(table, repro.run, axis=0)
        other[1, 1] += repro.run
        return {"table": other}

    @pytest.mark.reproducible
    def test_not_stated(repro):
        return {"table": np.roll(table, repro.run, axis=0)}

    @pytest.mark.reproducible(tolerance=any_order)
    def test_same(repro):
        return {"table": table, "line": table[0]}

    @pytest.mark.reproducible(tolerance={"line": any_order})
    def test_no_rows(repro):
        return {"line": table[0]}
"""


@pytest.mark.parametrize("options", [[], ["--repro-isolate"]], ids=["in process", "isolated"])
def test_another_order_of_rows_is_told(sessions: Sessions, options: list[str]) -> None:
    session = sessions.run(ROWS, "--no-repro-diagnose", *options)
    assert session.verdicts == {
        "test_shuffled": "within_tolerance",
        "test_changed": "diverged",
        "test_not_stated": "diverged",
        "test_same": "identical",
        "test_no_rows": "error",
    }, session.text
    found = session.test("test_shuffled")["largest_tolerated"]
    assert found["note"] == "the same rows in another order"
    assert found["allowed"] == "rows in any order, each exactly"
    assert "the same rows in another order (allowed: rows in any order, each exactly) in table of" in session.text
    assert "2 of 4 rows have no match" in session.text
    assert "matches no table or two-dimensional array" in session.text


@pytest.mark.needs("polars")
def test_a_frame_is_compared_and_its_rows_may_be_shuffled(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import polars as pl
        import pytest
        from pytest_repro import Tolerance

        def frame(first):
            return pl.DataFrame({"name": ["a", "b", None], "value": [first, 2.5, None]})

        @pytest.mark.reproducible
        def test_frame(repro):
            return {"table": frame(1.5)}

        @pytest.mark.reproducible
        def test_another_value(repro):
            return {"table": frame(float(repro.run))}

        @pytest.mark.reproducible(tolerance={"table": Tolerance(rows="unordered")})
        def test_shuffled(repro):
            return {"table": frame(1.5).sample(fraction=1, shuffle=True, seed=repro.run)}

        @pytest.mark.reproducible
        def test_lazy(repro):
            return {"table": frame(1.5).lazy()}
        """,
        "--no-repro-diagnose",
        apart=True,
    )
    assert session.verdicts == {
        "test_frame": "identical",
        "test_another_value": "diverged",
        "test_shuffled": "within_tolerance",
        "test_lazy": "error",
    }, session.text
    assert "table/data/value/values" in session.text
    assert "a lazy frame is a query that has not run; return frame.collect()" in " ".join(session.text.split())


def test_a_record_is_compared_without_regard_to_the_order_of_rows(sessions: Sessions) -> None:
    suite = """
        import os
        import numpy as np
        import pytest
        from pytest_repro import Tolerance

        table = np.arange(12.0).reshape(4, 3)

        @pytest.mark.reproducible(tolerance=Tolerance(rows="unordered"))
        def test_rows():
            return {"table": np.roll(table, int(os.environ.get("SHIFT", 0)), axis=0)}

        @pytest.mark.reproducible
        def test_order():
            return {"table": np.roll(table, int(os.environ.get("SHIFT", 0)), axis=0)}
    """
    assert sessions.run(suite, "--repro-record=records").outcomes == {"passed": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIFT", "1")
        session = sessions.run(suite, "--repro-verify=records")
    assert session.outcomes == {"passed": 1, "failed": 1}, session.text
    assert session.test("test_rows")["record"]["status"] == "verified"
    assert session.test("test_order")["record"]["status"] == "differs"
