"""xfail: a divergence is an expected failure like any other, and one passing run is not yet an XPASS."""

from __future__ import annotations

from tests.plugin.helpers import Sessions


def test_every_form_of_xfail_applies_to_all_runs_together(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import pytest
        from pytest_repro import DivergenceError

        calls = itertools.count()
        ran = []

        @pytest.mark.reproducible
        @pytest.mark.xfail
        def test_loose_diverges():
            return next(calls)

        @pytest.mark.reproducible
        @pytest.mark.xfail(strict=True)
        def test_strict_diverges():
            return next(calls)

        @pytest.mark.reproducible
        @pytest.mark.xfail
        def test_loose_identical():
            return 1

        @pytest.mark.reproducible(runs=3)
        @pytest.mark.xfail(strict=True, reason="known")
        def test_strict_identical():
            return 1

        @pytest.mark.reproducible
        @pytest.mark.xfail(raises=DivergenceError, strict=True)
        def test_raises_divergence():
            return next(calls)

        @pytest.mark.reproducible
        @pytest.mark.xfail(raises=ValueError)
        def test_raises_another():
            return next(calls)

        @pytest.mark.reproducible
        @pytest.mark.xfail(run=False)
        def test_not_run():
            ran.append(1)

        @pytest.mark.reproducible
        @pytest.mark.xfail(strict=True)
        def test_raises_itself():
            raise OSError

        @pytest.mark.reproducible
        def test_imperative():
            pytest.xfail("known")

        @pytest.mark.reproducible
        def test_imperative_later():
            if next(calls) % 2:
                pytest.xfail("only now")
            return 1

        def test_was_not_run():
            assert not ran
        """
    )
    assert session.verdicts == {
        "test_loose_diverges": "diverged",
        "test_strict_diverges": "diverged",
        "test_loose_identical": "identical",
        "test_strict_identical": "identical",
        "test_raises_divergence": "diverged",
        "test_raises_another": "diverged",
        "test_not_run": "error",
        "test_raises_itself": "error",
        "test_imperative": "error",
        "test_imperative_later": "diverged",
    }
    assert session.outcomes == {"passed": 1, "xfailed": 6, "xpassed": 1, "failed": 3}, session.text
    assert session.outcomes_of_runs("test_strict_identical") == ["passed"] * 3
    assert "[XPASS(strict)] known" in session.text
