"""Async tests under pytest-asyncio (strict and auto) and anyio."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

STRICT = """
    import asyncio
    import itertools

    import pytest
    import pytest_asyncio

    calls = itertools.count()
    setups = []

    @pytest_asyncio.fixture
    async def number():
        await asyncio.sleep(0)
        setups.append("up")
        yield 7
        setups.append("down")

    @pytest.mark.reproducible
    @pytest.mark.asyncio
    async def test_same(number):
        await asyncio.sleep(0)
        return number

    @pytest.mark.reproducible
    @pytest.mark.asyncio
    async def test_differs(repro):
        repro.capture("call", next(calls))

    @pytest.mark.reproducible
    @pytest.mark.asyncio
    async def test_fails():
        await asyncio.sleep(0)
        raise OSError("no connection")

    @pytest.mark.reproducible
    @pytest.mark.asyncio
    class TestMethods:
        async def test_same(self, number):
            return number

    def test_fixtures_were_fresh():
        assert setups == ["up", "down"] * 4
"""


@pytest.mark.needs("asyncio")
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_tests_of_pytest_asyncio_are_repeated(sessions: Sessions, mode: str) -> None:
    source = STRICT.replace("    @pytest.mark.asyncio\n", "") if mode == "auto" else STRICT
    ini = f"asyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\n"
    session = sessions.run(source, ini=ini, plugins=("asyncio",))
    assert session.verdicts == {
        "test_same": "identical",
        "test_differs": "diverged",
        "test_fails": "error",
        "TestMethods::test_same": "identical",
    }, session.text
    assert session.outcomes == {"passed": 3, "failed": 2}, session.text


@pytest.mark.needs("anyio")
def test_tests_of_anyio_are_repeated_and_their_local_variables_compared(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools

        import pytest

        calls = itertools.count()
        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.reproducible
        async def test_same():
            import anyio
            await anyio.sleep(0)
            return 5

        @pytest.mark.reproducible
        async def test_differs():
            return next(calls)

        async def test_locals():
            found = next(calls)
        """,
        "--repro-all",
        plugins=("anyio",),
    )
    assert session.verdicts == {"test_same": "identical", "test_differs": "diverged", "test_locals": "diverged"}


def test_an_async_test_without_an_async_plugin_is_rejected_by_pytest(sessions: Sessions) -> None:
    session = sessions.run("import pytest\n@pytest.mark.reproducible\nasync def test_it():\n    return 1\n")
    assert session.outcomes == {"failed": 1}
    assert "async def functions are not natively supported" in session.text
    assert session.verdicts == {"test_it": "error"}
