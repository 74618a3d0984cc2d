"""Texts that no UTF-8 encoder takes end no session, reach every report, and stay different from each other."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.plugin.helpers import Sessions

SOURCE = r"""
    import os, sys, warnings
    import pytest

    pytestmark = pytest.mark.reproducible
    LONE = "nom\udce9"
    CONTROL = "a\x00b\x1b[31mred\x07\u2028\ufffe"

    def test_names(repro, record_property):
        record_property(LONE, LONE)
        repro.capture("x/" + LONE, repro.run)
        return {LONE: repro.run, "nom\\udce9": repro.run, CONTROL: repro.run, "bytes": os.fsencode(LONE)}

    def test_values(repro):
        return [LONE + str(repro.run), {LONE: {LONE}}, CONTROL + str(repro.run)]

    def test_message():
        raise ValueError(LONE + CONTROL)

    def test_skips():
        pytest.skip(LONE)

    def test_xfails():
        pytest.xfail(LONE)

    def test_skips_later(repro):
        if repro.run == 2:
            pytest.skip(LONE)
        return 1

    class Own(UserWarning):
        def __str__(self):
            return LONE

    def test_warns():
        warnings.warn(LONE)
        warnings.warn(Own(LONE))
        return 1

    def test_prints():
        os.write(1, b"\xff\xfe\x00\xe9")
        sys.stdout.buffer.write(b"\xe9")
        raise OSError(2, "missing", b"\xe9", None, LONE)

    @pytest.mark.parametrize("name", [LONE, CONTROL])
    def test_ids(name, repro):
        return {name: repro.run}

    def test_refused(repro):
        try:
            repro.capture(LONE, (x for x in []))
        except Exception:
            return 1

    def test_file(repro, tmp_path):
        path = os.path.join(os.fsencode(tmp_path), b"nom\xe9.txt")
        open(path, "w").write("1")
        repro.data(LONE, os.fsdecode(path))
        return {name: 1 for name in os.listdir(tmp_path)}

    def test_neighbour():
        return 1
"""
VERDICTS = {
    "test_names": "diverged",
    "test_values": "diverged",
    "test_message": "error",
    "test_skips": "inconclusive",
    "test_xfails": "inconclusive",
    "test_skips_later": "diverged",
    "test_warns": "identical",
    "test_prints": "error",
    "test_refused": "inconclusive",
    "test_file": "identical",
    "test_neighbour": "identical",
}


@pytest.mark.needs("xdist")
@pytest.mark.parametrize(
    "options", [[], ["--repro-isolate"], ["-n1"], ["-n1", "--repro-isolate", "--repro-all"]], ids=" ".join
)
def test_no_text_ends_a_session(sessions: Sessions, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    session = sessions.run(
        SOURCE,
        *options,
        "--junitxml=out.xml",
        "--repro-html=out.html",
        "--repro-evidence=bundle",
        plugins=("xdist",),
    )
    assert "INTERNALERROR" not in session.text
    assert "could not be written" not in session.text
    verdicts = {name: verdict for name, verdict in session.verdicts.items() if "[" not in name}
    assert verdicts == VERDICTS, session.text
    assert len(session.verdicts) == len(VERDICTS) + 2
    names = [entry["artifact"] for entry in session.test("test_names")["divergences"]]
    assert len(set(names)) == len(names) == 4
    assert "x/nom\\udce9" in names
    assert "nom\\udce9" in (sessions.folder / "out.html").read_text(encoding="utf-8")
    ET.parse(sessions.folder / "out.xml")
    assert (sessions.folder / "bundle" / "evidence.json").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding_shows_the_names(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    sessions.write(SOURCE)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *sessions.arguments()], cwd=sessions.folder, capture_output=True
    )
    assert ended.returncode == 1, ended.stdout
    assert b"3 diverged" in ended.stdout or b"5 diverged" in ended.stdout


def test_such_names_are_recorded_and_verified(sessions: Sessions) -> None:
    for mode in ("record", "verify"):
        session = sessions.run(SOURCE, f"--repro-{mode}=records", "-k", "file or neighbour")
        assert session.outcomes == {"passed": 2}, session.text
