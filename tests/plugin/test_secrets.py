"""No output has a secret, wherever it was planted: environment, options, URLs, configuration, local variables."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

#: Planted once each, in another input.
SECRETS = {
    "TF_VAR_db_password": "PLANTED-variable-1",
    "JAX_API_TOKEN": "PLANTED-variable-2",
    "TORCH_HUB_TOKEN": "PLANTED-variable-3",
    "NCCL_SECRET": "PLANTED-variable-4",
    "my_api_key": "PLANTED-variable-5",
    "OMP_CREDENTIAL": "PLANTED-variable-6",
    "BUILD_URL": "https://user:PLANTED-url-7@ci.example/1?token=PLANTED-url-8",
}
CODE = """
    import itertools, os
    import pytest

    count = itertools.count()

    def draw():
        return next(count) + os.getpid()

    @pytest.mark.reproducible
    def test_locals(repro):
        api_key = os.environ["my_api_key"]
        noise = draw() + 0.5
        header = {"Authorization": "Bearer " + api_key, "n": noise}
        url = f"https://u:PLANTED-url-9-{noise}@h/"
        client_secret = f"PLANTED-name-10-{noise}"
        return noise * 2

    @pytest.mark.reproducible
    def test_returned():
        return {"header": os.environ["my_api_key"] + str(draw())}

    VALUES = [{"ACCESS_TOKEN": "PLANTED-axis-11"}, {"ACCESS_TOKEN": "PLANTED-axis-12"}]

    @pytest.mark.reproducible(across={"env": VALUES})
    def test_axis():
        return os.environ["ACCESS_TOKEN"][-1]

    @pytest.mark.reproducible
    def test_config(repro):
        repro.config({"lr": 0.1, "api_key": "PLANTED-config-13", "tracking": "https://u:PLANTED-url-14@mlflow/"})
        return 1
"""


@pytest.fixture
def planted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_DYNAMIC", "FALSE")
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--api-token')")
    pytester.makepyfile(test_it=CODE)
    for command in ("init -q -b main", "add -A", "-c user.email=a@b.c -c user.name=t commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=pytester.path, check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://u:PLANTED-remote-15@h/r"], cwd=pytester.path, check=True)
    return pytester


def find_planted(folder: Path) -> list[str]:
    """Return the files below a folder, apart from those of the project itself, that hold what was planted."""
    own = {"test_it.py", "conftest.py"}
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    found = [(path.name, re.findall(rb".{0,60}PLANTED[\w-]*", path.read_bytes())) for path in files]
    return [f"{name}: {texts[0]!r}" for name, texts in found if texts and name not in own]


@pytest.mark.parametrize("options", [("--repro-evidence-values",), ("--repro-isolate", "--no-repro-diagnose")])
def test_no_output_has_what_was_planted(planted: pytest.Pytester, options: tuple[str, ...]) -> None:
    outputs = ["--repro-json=out/r.json", "--repro-html=out/r.html", "--repro-evidence=out/bundle"]
    shown = ["--show-capture=no", "--tb=no", "--api-token=PLANTED-option-16", "-p", "no:randomly"]
    result = planted.runpytest_subprocess(*outputs, *shown, "-p", "no:cacheprovider", *options)
    result.assert_outcomes(failed=3, passed=1)
    assert find_planted(planted.path / "out") == []
    assert "PLANTED" not in result.stdout.str() + result.stderr.str()
    # What is no secret is there.
    assert b"OMP_DYNAMIC" in (planted.path / "out" / "bundle" / "record.json").read_bytes()
    assert b"ci.example/1" in (planted.path / "out" / "bundle" / "evidence.json").read_bytes()


def test_the_message_of_a_failure_has_no_secret(planted: pytest.Pytester) -> None:
    result = planted.runpytest_subprocess(
        "--api-token=PLANTED-option-16", "-p", "no:randomly", "-k", "locals or returned"
    )
    text = result.stdout.str()
    assert "first value that differs" in text
    assert "PLANTED" not in text


def test_records_have_no_secret_and_one_that_would_is_refused(planted: pytest.Pytester) -> None:
    planted.makepyfile(
        test_other="""
        import os, pytest
        @pytest.mark.reproducible
        def test_config(repro):
            repro.config({"api_key": "PLANTED-config-13", "url": "https://u:PLANTED-url-14@h/"})
            return 1
        @pytest.mark.reproducible
        def test_returned():
            return {"header": os.environ["my_api_key"]}
        """
    )
    options = ["--repro-record=records", "test_other.py", "-p", "no:randomly", "-p", "no:cacheprovider"]
    result = planted.runpytest_subprocess(*options)
    result.assert_outcomes(passed=1, failed=1)
    assert "holds what looks like a secret" in result.stdout.str()
    (record,) = (planted.path / "records").glob("*.json")
    text = record.read_text()
    assert "PLANTED" not in text
    assert "[hidden: api_key may be a secret; pbkdf2-sha256 " in text


def test_values_of_local_variables_are_left_out_of_evidence_unless_they_are_asked_for(planted: pytest.Pytester) -> None:
    for options, has_values in ((), False), (("--repro-evidence-values",), True):
        arguments = ["--repro-evidence=bundle", "-k", "locals", "-p", "no:randomly", *options]
        planted.runpytest_subprocess(*arguments)
        text = (planted.path / "bundle" / "evidence.json").read_text()
        assert '"causes":[{' in text
        assert ('"rows":[]' not in text) is has_values
