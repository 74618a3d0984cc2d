"""The names of tests are without the secrets in their parameters, whether the tests run or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.cli import main

CODE = """
    import pytest

    @pytest.mark.reproducible
    def test_chosen():
        return 1

    @pytest.mark.parametrize("token", ["PLANTED1tokenQQ"])
    def test_deselected(token):
        pass

    @pytest.mark.parametrize("login", [{"password": "PLANTED-key-2"}], ids=str)
    def test_deselected_too(login):
        pass

    @pytest.mark.parametrize("logins", [[{"auth": {"passwords": ["PLANTED-deep-3"]}}]], ids=["PLANTED-deep-3"])
    def test_chosen_and_skipped(logins):
        pytest.skip("no")

    @pytest.mark.skip(reason="no")
    @pytest.mark.parametrize("name", ["password=PLANTED-form-4", "api_key: 'PLANTED-form-5'"])
    def test_chosen_and_marked(name):
        pass

    @pytest.mark.parametrize("password", ["PLANTED-fails-6"])
    def test_chosen_and_failing(password):
        assert not password

    @pytest.mark.parametrize("key", ["layer1.weight", "loss/train"])
    def test_usual(key):
        pass
"""
NAMES = ("deselected[[hidden ", "deselected_too[", "skipped[[hidden ", "marked[password=[hidden ", "failing[[hidden ")


def read_all(folder: Path) -> str:
    return "".join(path.read_text("utf-8") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("options", [(), pytest.param(("-n1",), marks=pytest.mark.needs("xdist"))], ids=["", "xdist"])
def test_names_have_no_secret_of_their_parameters(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(test_it=CODE)
    reports = ("--repro-json=out/r.json", "--repro-html=out/r.html", "--repro-evidence=out/bundle")
    result = pytester.runpytest_subprocess(*reports, *options, "-k", "chosen", "--tb=no", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1, skipped=3, deselected=0 if options else 4)
    text = read_all(pytester.path / "out")
    assert "PLANTED" not in text
    evidence = (pytester.path / "out" / "bundle" / "evidence.json").read_text()
    assert [name for name in NAMES if name not in evidence] == []
    assert "test_usual[layer1.weight]" in evidence


def test_a_session_that_stops_early_names_no_secret_of_the_tests_that_did_not_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=CODE)
    result = pytester.runpytest_subprocess("--repro-evidence=out", "-x", "--tb=no", "-p", "no:randomly")
    result.assert_outcomes(passed=3, failed=1, skipped=3)
    assert "PLANTED" not in read_all(pytester.path / "out")


def test_records_of_tests_with_secrets_in_their_names_have_their_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.reproducible
        @pytest.mark.parametrize("password", ["PLANTED-value-7"])
        def test_it(password):
            return 1
        """
    )
    pytester.runpytest_subprocess("--repro-record=records").assert_outcomes(passed=1)
    assert "PLANTED" not in read_all(pytester.path / "records")
    files = sorted(pytester.path.glob("records/*.json"))
    monkeypatch.chdir(pytester.path)
    from pytest_repro.model import secret_values

    monkeypatch.setattr(secret_values, "_remembered", secret_values.Remembered())
    assert main(["prune", "records"]) == 0
    assert sorted(pytester.path.glob("records/*.json")) == files
