"""Results that share their memory with another owner, which writes to it after the capture."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

SHARED = """
    import jax
    import jax.numpy as jnp
    import numpy as np
    import pytest
    import torch

    pytestmark = pytest.mark.reproducible

    def aligned(n):
        memory = np.empty(n + 16, np.float32)
        start = -memory.ctypes.data % 64 // 4
        return memory[start : start + n]

    def test_dlpack(repro):
        weights = torch.full((64,), float(repro.run))
        repro.capture("weights", jnp.from_dlpack(weights))
        weights.zero_()

    @pytest.mark.parametrize("share", [jax.device_put, jnp.asarray, jnp.array])
    def test_array(repro, share):
        memory = aligned(1000)
        memory[:] = repro.run
        repro.capture("memory", share(memory))
        memory[:] = 0

    def test_steps_in_one_buffer(repro):
        buffer = aligned(1000)
        for step in range(3):
            buffer[:] = repro.run * 10 + step if step < 2 else 0.0
            repro.step(step, prediction=jax.device_put(buffer))
"""


@pytest.mark.needs("jax", "torch")
@pytest.mark.parametrize("options", [[], ["--repro-memory=1"]], ids=["in memory", "spilled"])
def test_an_array_of_jax_is_captured_as_it_is_at_that_moment(sessions: Sessions, options: list[str]) -> None:
    session = sessions.run(SHARED, *options, apart=True)
    assert set(session.verdicts.values()) == {"diverged"}, session.text
    assert len(session.verdicts) == 5


@pytest.mark.needs("pyarrow", "polars")
@pytest.mark.parametrize("options", [[], ["--repro-memory=1"]], ids=["in memory", "spilled"])
def test_a_column_over_memory_of_numpy_is_captured_as_it_is_at_that_moment(
    sessions: Sessions, options: list[str]
) -> None:
    session = sessions.run(
        """
        import numpy as np
        import polars as pl
        import pyarrow as pa
        import pytest

        @pytest.mark.reproducible
        @pytest.mark.parametrize("make", [pl.Series, pa.array, lambda memory: pa.table({"x": pa.array(memory)})])
        def test_column(repro, make):
            memory = np.full(1000, float(repro.run))
            repro.capture("column", make(memory))
            memory[:] = 0

        @pytest.mark.reproducible
        def test_file(repro, tmp_path):
            np.full(1000, float(repro.run)).tofile(tmp_path / "data")
            repro.capture("mapped", np.memmap(tmp_path / "data", dtype="f8", mode="r"))
            np.zeros(1000).tofile(tmp_path / "data")
        """,
        *options,
        apart=True,
    )
    assert set(session.verdicts.values()) == {"diverged"}, session.text


@pytest.mark.needs("pyarrow", "polars")
def test_tables_are_the_same_in_every_engine_and_in_a_record(sessions: Sessions) -> None:
    suite = """
        import datetime
        import polars as pl
        import pyarrow as pa
        import pytest

        @pytest.mark.reproducible
        def test_tables():
            frame = pl.DataFrame({
                "text": ["a", None, "b\\0"], "bytes": [b"\\0", None, b"x" * 99], "list": [[1, None], None, []],
                "struct": [{"a": 1.5, "b": None}, None, {"a": float("nan"), "b": "x"}],
                "moment": [datetime.datetime(2020, 1, 1), None, None], "flag": [True, None, False],
            })
            return {"frame": frame, "table": frame.to_arrow(), "scalar": pa.scalar([1, None])}
    """
    one = sessions.run(suite, "--repro-record=records", apart=True)
    assert one.verdicts == {"test_tables": "identical"}, one.text
    isolated = sessions.run(suite, "--repro-isolate", "--repro-verify=records", apart=True)
    assert isolated.verdicts == {"test_tables": "identical"}, isolated.text
    assert isolated.test("test_tables")["record"]["status"] == "verified"
    assert one.test("test_tables")["runs"][0]["digest"] == isolated.test("test_tables")["runs"][0]["digest"]
