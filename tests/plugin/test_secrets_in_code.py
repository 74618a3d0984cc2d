"""What code holds under the name of a secret is hidden wherever a report has it, not only next to the name."""

from __future__ import annotations

from pathlib import Path

import pytest

CODE = """
    import dataclasses, itertools, random
    import pytest

    CFG = {"client_secret": "PLANTED-dict-1", "dbs": [{"auth": {"passwd": "PLANTED-deep-2"}}]}
    token = "PLANTED3tokenQQ"
    sort_key = "usual-sort-key"
    password = "wrong"

    class Login:
        __slots__ = ("password",)
        def __init__(self):
            self.password = "PLANTED-slot-4"

    @dataclasses.dataclass
    class Client:
        api_key: str = "PLANTED-field-5"

    LOGINS = [Login(), {"client": Client()}]

    def login(password):
        raise RuntimeError(f"cannot log in with {password}")

    @pytest.mark.reproducible
    def test_earlier():
        raise RuntimeError("PLANTED-local-6")

    @pytest.mark.reproducible
    def test_module():
        dbs = CFG["dbs"][0]["auth"]["passwd"]
        texts = (CFG["client_secret"], dbs, token, LOGINS[0].password, LOGINS[1]["client"].api_key, sort_key, "wrong")
        raise RuntimeError(f"login failed for {texts}")

    @pytest.mark.reproducible
    def test_local():
        secret_of_mine = "-".join(["PLANTED", "local", "6"])
        raise RuntimeError(f"login failed for <{secret_of_mine}>")

    @pytest.mark.reproducible
    def test_argument():
        login("-".join(["PLANTED", "argument", "7"]))

    @pytest.mark.reproducible
    def test_cause():
        try:
            login("PLANTED-cause-8")
        except RuntimeError as error:
            raise ValueError(f"because {error}") from error

    @pytest.mark.reproducible
    def test_skip():
        password = "-".join(["PLANTED", "skip", "10"])
        pytest.skip(f"no access with {password}")

    @pytest.mark.reproducible
    def test_config(repro):
        repro.config({"api_key": "PLANTED-config-9", "url": "https://h/PLANTED-config-9/x", "sort": "usual-sort-key"})
        return 1
"""
OUTPUTS = ("--repro-json=out/r.json", "--repro-html=out/r.html", "--repro-evidence=out/bundle")


def read_all(folder: Path) -> str:
    return "".join(path.read_text("utf-8") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)], ids=["in_process", "isolate"])
def test_texts_under_names_of_secrets_in_code_are_in_no_output(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_it=CODE)
    result = pytester.runpytest_subprocess(*OUTPUTS, *options, "--no-repro-diagnose", "--tb=no", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=5, skipped=1)
    text = read_all(pytester.path / "out")
    assert "PLANTED" not in text
    document = (pytester.path / "out" / "r.json").read_text()
    assert "cannot log in with [hidden]" in document
    assert "because cannot log in with [hidden]" in document
    assert "no access with [hidden]" in document
    # What has no such name, and a word that any sentence may have.
    assert "usual-sort-key" in document
    assert "'wrong'" in document


def test_more_values_of_code_than_are_searched_for_are_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        LOGINS = [[{"password": f"made-up-{n}-{m}"} for m in range(100)] for n in range(11)]

        @pytest.mark.reproducible
        def test_it():
            return 1
        """
    )
    result = pytester.runpytest_subprocess(*OUTPUTS)
    result.assert_outcomes(passed=1)
    told = "Of the values under names of secrets in code, only the first 1,000 are searched for in texts."
    result.stdout.fnmatch_lines([told])
    assert told in (pytester.path / "out" / "bundle" / "summary.md").read_text()


def test_a_diagnosis_hides_what_a_line_of_it_shows_to_be_a_secret(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import itertools, pytest
        count = itertools.count()

        def draw(password, n):
            blob = {"pw": password, "n": next(count)}
            return blob["n"]

        @pytest.mark.reproducible
        def test_it():
            return draw("PLANTED-argument-1", 3)
        """
    )
    result = pytester.runpytest_subprocess(*OUTPUTS, "--repro-evidence-values", "--tb=no", "-p", "no:randomly")
    result.assert_outcomes(failed=1)
    text = read_all(pytester.path / "out")
    assert "PLANTED" not in text
    assert "draw(" in text
