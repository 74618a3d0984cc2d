"""No output has a secret, wherever it was planted: environment, options, URLs, configuration, names, local variables.

What pytest itself prints (names of tests, the traceback of a failure, captured output) is not looked at.
"""

from __future__ import annotations

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_repro.cli import main
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.tracking import make_tags

#: Planted once each, in another input.
SECRETS = {
    "TF_VAR_db_password": "PLANTED-variable-1",
    "JAX_API_TOKEN": "PLANTED-variable-2",
    "TORCH_HUB_TOKEN": "PLANTED-variable-3",
    "NCCL_SECRET": "PLANTED-variable-4",
    "my_api_key": 'PLANTED-"variable"/5+',
    "OMP_CREDENTIAL": "PLANTED-variable-6",
    "OMP_UNKNOWN": "PLANTED-variable-7",
    "BUILD_URL": "https://user:PLANTED-url-8@ci.example/1?token=PLANTED-url-9",
    "HTTPS_PROXY": "http://user:PLANTED-url-10@proxy.example:3128",
    "PIP_INDEX_URL": "https://__token__:PLANTED-url-11@index.example/simple",
    "PYTEST_ADDOPTS": "--db-password=PLANTED-option-12",
}
CONFTEST = """
    def pytest_addoption(parser):
        for name in ("--api-token", "--db-password", "--client-secret"):
            parser.addoption(name)
        parser.addini("session_token", "")
"""
INI = """
    [pytest]
    addopts = --client-secret PLANTED-ini-13
    session_token = PLANTED-ini-14
"""
CODE = """
    import base64, itertools, json, os, urllib.parse
    import numpy as np
    import pytest
    from pytest_repro import assert_identical

    count = itertools.count()
    KEY = os.environ["my_api_key"]
    PASSWORD = "PLANTED-name-19"

    def draw():
        return next(count) + os.getpid()

    @pytest.mark.reproducible
    def test_locals(repro):
        noise = draw() + 0.5
        header = {"Authorization": "Bearer " + KEY, "n": noise}
        basic = "Basic " + base64.b64encode(f"user:{KEY}".encode()).decode() + str(noise)
        text = json.dumps({"key": KEY, "n": noise})
        form = urllib.parse.urlencode({"q": KEY, "n": noise})
        url = f"https://u:PLANTED-url-16-{noise}@h/"
        client_secret = f"PLANTED-name-17-{noise}"
        return noise * 2

    @pytest.mark.reproducible
    def test_returned(pytestconfig, monkeypatch):
        monkeypatch.setenv("LATE_TOKEN", "PLANTED-late-15")
        n = str(draw())
        option, setting = pytestconfig.getoption, pytestconfig.getini
        plain = {
            "late": os.environ["LATE_TOKEN"] + n,
            "options": [option("--api-token") + n, option("--client-secret") + n, option("--db-password") + n],
            "setting": setting("session_token") + n,
            "proxy": os.environ["HTTPS_PROXY"].partition("user:")[2].partition("@")[0] + n,
            "form": urllib.parse.urlencode({"q": KEY, "n": n}),
            "text": json.dumps({"key": KEY, "n": n}),
        }
        long = "x" * 30 + KEY * 3 + n
        return {"header": KEY + n, "headers": {"api_key": "PLANTED-name-18" + n, KEY: n}, "long": long,
                "plain": plain, "texts": np.array([KEY + n]), "raw": (KEY + n).encode()}

    def test_assertion():
        assert_identical({"password": PASSWORD, "url": KEY}, {"password": "x", "url": "y"})

    VALUES = [{"ACCESS_TOKEN": "PLANTED-axis-20"}, {"ACCESS_TOKEN": "PLANTED-axis-21"}]

    @pytest.mark.reproducible(across={"env": VALUES})
    def test_axis():
        return os.environ["ACCESS_TOKEN"][-1]

    @pytest.mark.reproducible(across={"api_key": ["PLANTED-axis-22", "PLANTED-axis-23"]})
    def test_argument(api_key):
        return api_key

    @pytest.mark.reproducible
    @pytest.mark.parametrize("value", [f"ghp_PLANTEDabcdefghijklmnopqrstuvw{n}" for n in (24, 25)])
    def test_named(value):
        return 1

    @pytest.mark.reproducible
    def test_config(repro):
        values = ["PLANTED-config-26"]
        urls = ["https://u:PLANTED-url-28@h/"]
        repro.config({"lr": 0.1, "api_key": "PLANTED-config-27", "auth": {"passwords": values}, "urls": urls})
        return 1

    @pytest.mark.skipif("not config.getoption('repro_isolate')", reason="it would end the session")
    @pytest.mark.reproducible
    def test_dies():
        os.write(2, f"no {KEY}".encode())
        os._exit(3)
"""


@pytest.fixture
def planted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_RUN_ID", raising=False)
    monkeypatch.setenv("OMP_DYNAMIC", "FALSE")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "out-summary.md"))
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)
    pytester.makepyfile(test_it=CODE)
    for command in ("init -q -b main", "add -A", "-c user.email=a@b.c -c user.name=t commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=pytester.path, check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://u:PLANTED-remote-29@h/r"], cwd=pytester.path, check=True)
    return pytester


def find_planted(folder: Path) -> list[str]:
    """Return the files below a folder, apart from those of the project itself, that hold what was planted.

    pytest's own texts are left out: its output, and names of tests in JUnit's file and in its cache.
    """
    own = {"test_it.py", "conftest.py", "tox.ini", "lastfailed", "nodeids", "stdout", "stderr"}
    # Python keeps compiled copies of the sources.
    passed_over = {".git", "__pycache__"}
    files = [path for path in folder.rglob("*") if path.is_file() and not passed_over & set(path.parts)]
    files = [path for path in files if path.name not in own]
    found = [(path.name, re.findall(r".{0,60}PLANTED\S*", own_text(path))) for path in files]
    return [f"{name}: {texts[0]!r}" for name, texts in found if texts or "PLANTED" in name]


def own_text(path: Path) -> str:
    text = path.read_bytes().decode("latin-1")
    return re.sub(r' name="[^"]*"', "", text) if path.name == "junit.xml" else text


OUTPUTS = (
    "--repro-json=out/r.json",
    "--repro-html=out/r.html",
    "--repro-evidence=out/bundle",
    "--junitxml=out/junit.xml",
)


def test_no_output_of_a_session_with_a_diagnosis_has_what_was_planted(planted: pytest.Pytester) -> None:
    arguments = (*OUTPUTS, "--repro-evidence-values", "--api-token=PLANTED-option-30", "-p", "no:randomly")
    result = planted.runpytest_subprocess(
        *arguments, "-k", "locals or returned or assertion", "--tb=short", "-overbosity_assertions=1"
    )
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    assert "differs first" in text
    # The source of a failed assertion is pytest's to show.
    assert re.findall(r"^(?!  ).*PLANTED.*", text, re.MULTILINE) == []
    assert find_planted(planted.path) == []
    evidence = (planted.path / "out" / "bundle" / "evidence.json").read_text()
    assert "[hidden]" in evidence
    # What is no secret is there.
    record = (planted.path / "out" / "bundle" / "record.json").read_text()
    assert '"OMP_DYNAMIC":"FALSE"' in record
    assert re.search(
        r'"OMP_UNKNOWN":"\[hidden: pbkdf2-sha256 \w{32}\]"', (planted.path / "out/bundle/record.json").read_text()
    )
    assert "ci.example/1" in evidence
    # Nor do the commands that read these files.
    assert main(["explain", str(planted.path / "out" / "r.json")]) == 1


def test_no_output_of_children_and_workers_has_what_was_planted(planted: pytest.Pytester) -> None:
    """The results go from a fork through an xdist worker, where there is one, to the controller."""
    arguments = (*OUTPUTS, "--no-repro-diagnose", "--api-token=PLANTED-option-30", "-p", "no:randomly")
    workers = ("-n1",) if find_spec("xdist") else ()
    options = ("--repro-isolate", *workers, "--tb=no", "-q")
    result = planted.runpytest_subprocess(*arguments, *options)
    result.assert_outcomes(failed=6, passed=3)
    text = result.stdout.str() + result.stderr.str()
    assert "PLANTED" not in text
    assert "the names of 2 tests hold what looks like a secret" in text
    assert find_planted(planted.path) == []
    bundle = read_bundle(planted.path / "out" / "bundle")
    assert sum("test_named[[hidden " in name for name in bundle.verdicts) == 2
    tags = make_tags(bundle, "0" * 64, None)
    assert "PLANTED" not in json.dumps(tags)
    document = json.loads((planted.path / "out" / "r.json").read_text())
    assert any("api_key" in run["condition"] for test in document["tests"] for run in test["runs"])


def test_records_have_no_secret_and_one_that_would_is_refused(
    planted: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.makepyfile(
        test_other="""
        import itertools, os, pytest
        import numpy as np
        KEY = os.environ["my_api_key"]
        count = itertools.count()

        @pytest.mark.reproducible
        def test_ends_otherwise():
            if next(count) % 2:
                raise ValueError(f"no {KEY}")
            return 1

        def as_bytes(text):
            return np.frombuffer(text.encode(), np.uint8)

        @pytest.mark.reproducible
        @pytest.mark.parametrize("value", [f"ghp_PLANTEDabcdefghijklmnopqrstuvw{n}" for n in (24, 25)])
        def test_named(repro, value):
            repro.config({"api_key": "PLANTED-config-27", "url": "https://u:PLANTED-url-28@h/"})
            return 1

        @pytest.mark.reproducible
        @pytest.mark.parametrize("make", [str, str.encode, lambda text: np.array([text]), lambda text: as_bytes(text)])
        def test_returned(make):
            return {"header": make(KEY)}
        """
    )
    options = ["test_other.py", "-p", "no:randomly", "--tb=line", "-q", "--no-repro-diagnose"]
    result = planted.runpytest_subprocess("--repro-record=records", "--repro-json=out/r.json", *options)
    result.assert_outcomes(passed=2, failed=5)
    assert "no [hidden]" in (planted.path / "out" / "r.json").read_text()
    assert find_planted(planted.path / "out") == []
    assert result.stdout.str().count("holds what looks like a secret (the value") >= 4
    records = sorted((planted.path / "records").glob("*.json"))
    assert len(records) == 2
    assert find_planted(planted.path / "records") == []
    assert "[hidden: api_key may be a secret; pbkdf2-sha256 " in records[0].read_text()
    for path in records:
        assert main(["show", str(path)]) == 0
    output = capsys.readouterr().out
    assert "test_named[[hidden" in output
    # The names are the same in the next session.
    planted.runpytest_subprocess("--repro-verify=records", *options, "-k", "named").assert_outcomes(passed=2)


def test_values_of_local_variables_are_left_out_of_evidence_unless_they_are_asked_for(planted: pytest.Pytester) -> None:
    arguments = ["--repro-evidence=bundle", "-k", "locals", "-p", "no:randomly"]
    planted.runpytest_subprocess(*arguments)
    text = (planted.path / "bundle" / "evidence.json").read_text()
    assert '"causes":[{' in text
    assert '"rows":[]' in text
