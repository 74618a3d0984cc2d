"""`--repro-html` and the page in a bundle, written by real sessions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.cli
import pytest_repro.session.evidence
from pytest_repro.records.attestation import check_files
from tests.plugin.helpers import Sessions
from tests.unit.reporting.html.reading import Page

SOURCE = """
    import itertools
    import numpy as np
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    @pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\\u202ea"])
    def test_same(name): return 1.5

    @pytest.mark.reproducible
    def test_steps(repro):
        drift = next(calls) * 1e-6
        for step in range(5):
            repro.step(step, loss=1.0 + (drift if step > 2 else 0.0))
        return np.full((2, 3), 1.0 + drift)

    @pytest.mark.reproducible
    def test_skipped(): pytest.skip("no data")
"""


@pytest.mark.parametrize(
    "plugins", [(), pytest.param(("xdist",), marks=pytest.mark.needs("xdist"))], ids=["alone", "xdist"]
)
def test_a_session_writes_the_page_and_another_in_the_bundle(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]
) -> None:
    monkeypatch.chdir(sessions.folder)
    options = ["--repro-html=out/page.html", "--repro-evidence=bundle", *(["-n2"] if plugins else [])]
    session = sessions.run(SOURCE, *options, plugins=plugins)
    assert session.exitcode == 1
    assert "written to out/page.html" in session.text
    text = Path("out/page.html").read_text(encoding="utf-8")
    page = Page(text)
    for test in (session.report or {})["tests"]:
        assert test["nodeid"].partition("[")[0] in page.text
        assert test["runs"][0]["digest"] is None or test["runs"][0]["digest"] in page.text
    assert "<script>alert" not in text
    assert "Run 2 differs first at step 3, and at 2 of 5 steps captured." in page.text
    assert "6 of 6" in page.text
    assert "numpy" in page.text
    assert [path.name for path in Path("out").iterdir()] == ["page.html"]
    assert "report.html" in [subject["name"] for subject in check_files(Path("bundle"))["subject"]]
    inside = Page(Path("bundle/report.html").read_text(encoding="utf-8")).text
    assert "pytest-repro verify bundle --key public.pem" in inside
    assert "no authority stamped the time" in inside


def test_the_json_has_distances_over_steps_and_the_engine(sessions: Sessions) -> None:
    session = sessions.run(SOURCE, "-k", "steps")
    test = session.test("test_steps")
    (series,) = test["steps"]
    assert [point["kind"] for point in series["points"]] == ["identical"] * 3 + ["values"] * 2
    assert test["engine"] == "in_process"
    assert sessions.run(None, "-k", "steps", "--repro-isolate").test("test_steps")["engine"] == "fork"


def test_a_path_in_the_ini_file_is_relative_to_it(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    (sessions.folder / "below").mkdir()
    monkeypatch.chdir(sessions.folder / "below")
    sessions.run(SOURCE, "-k", "same", "..", ini="repro_html = page.html", json_report=False)
    assert "test_same" in (sessions.folder / "page.html").read_text(encoding="utf-8")
    assert [*(sessions.folder / "below").iterdir()] == []


def test_a_page_that_cannot_be_written_fails_the_session(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sessions.folder)
    Path("file").write_text("")
    session = sessions.run(SOURCE, "-k", "same", "--repro-html=file/page.html")
    assert session.exitcode == 4
    assert "could not be written" in session.text


def test_a_folder_in_its_place_is_rejected_before_the_first_test(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    Path("page.html").mkdir()
    session = sessions.run(SOURCE, "--repro-html=page.html", json_report=False)
    assert session.exitcode == 4
    assert "is a folder; give the name of a file" in session.run.stderr.str()


def test_the_command_makes_the_page_of_a_json_report(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sessions.folder)
    sessions.run(SOURCE, "-k", "steps")
    assert pytest_repro.cli.main(["html", "report.json", "-o", "page.html"]) == 0
    page = Page(Path("page.html").read_text(encoding="utf-8"))
    assert "Run 2 differs first at step 3" in page.text
    assert "Packages that compute" in page.text
    assert "not in a git repository" in page.text
    document = json.loads(Path("report.json").read_text(encoding="utf-8"))
    document["tests"][0]["verdict"] = "<b>fine</b>"
    Path("report.json").write_text(json.dumps(document), encoding="utf-8")
    before = Path("page.html").read_bytes()
    assert pytest_repro.cli.main(["html", "report.json", "-o", "page.html"]) == 2
    assert "tests[0].verdict" in capsys.readouterr().err
    assert Path("page.html").read_bytes() == before
