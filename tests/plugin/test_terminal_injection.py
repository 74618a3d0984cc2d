"""Names that control a terminal or make up lines: in every section of a session, every command and every page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_repro.cli import main
from tests.plugin.helpers import Sessions

#: A link of a terminal, a line made up, a reordered rest, half a surrogate pair, an e-mail address and HTML.
EVIL = "\x1b]8;;http://evil\x1b\\n\x1b[2J\nPASSED\u202e\u2066\udce9\x9b<b>|x@y.z</b>"
SOURCE = f"""
    import pytest

    EVIL = {EVIL!a}
    Evil = type(EVIL.replace(chr(0xdce9), ""), (), {{"__init__": lambda self, v: self.__dict__.update({{EVIL: v}})}})

    pytestmark = pytest.mark.reproducible

    def test_differs(repro):
        return {{EVIL: repro.run, "object": Evil(repro.run), "text": EVIL * repro.run, "type": Evil(1)}}

    def test_same(repro):
        repro.config({{EVIL: EVIL}})
        return {{EVIL: 1.5, "object": Evil(2)}}

    def test_not_compared(repro):
        return {{EVIL: (n for n in "a"), "b": 1}}

    @pytest.mark.reproducible(across={{"argument": [EVIL, "b"]}})
    def test_axis(argument):
        return len(argument)
"""


def assert_printable(text: str) -> None:
    bad = [line for line in text.split("\n") if not line.isprintable()]
    assert not bad, ascii(bad[:3])
    assert not re.search("^PASSED\N{RIGHT-TO-LEFT OVERRIDE}", text, re.MULTILINE)


@pytest.fixture
def written(sessions: Sessions) -> Path:
    """Run the tests with every file that a session can write, and return their folder."""
    files = ["--repro-record=records", "--repro-evidence=bundle", "--repro-html=page.html"]
    session = sessions.run(SOURCE, *files, "-p", "no:warnings", apart=True)
    assert session.verdicts["test_same"] == "identical", session.text
    assert session.verdicts["test_differs"] == "diverged"
    shown = session.text[session.text.index("= FAILURES") :]
    assert_printable(shown.replace("\t", " "))
    return sessions.folder


def test_no_name_reaches_a_terminal_or_a_page_as_it_is(written: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(written)
    (record,) = (path for path in Path("records").glob("*.json") if "test_same" in path.name)
    other = Path("other.json")
    commands = [
        ["show", str(record)],
        ["diff", str(record), str(make_another(record, other))],
        ["explain", "report.json"],
        ["verify", "bundle"],
    ]
    for command in commands:
        main(command)
        captured = capsys.readouterr()
        assert captured.out + captured.err
        assert_printable(captured.out + captured.err)
        main([command[0], "--json", *command[1:]])
        assert_printable(capsys.readouterr().out)
    for page in (Path("page.html"), Path("bundle/summary.md"), Path("bundle/report.html")):
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        assert "<b>|x" not in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text), page
    assert "\nPASSED" not in Path("bundle/summary.md").read_text(encoding="utf-8")


def make_another(record: Path, other: Path) -> Path:
    """Write a record that differs in every text, with a digest of its own that is right."""
    from pytest_repro.records.record import _own_digest

    document = json.loads(record.read_bytes())
    del document["sha256"]
    document["test"] = EVIL.replace("\udce9", "")
    document["data"] = document["settings"] = {EVIL.replace("\udce9", ""): EVIL.replace("\udce9", "")}
    document["environment"]["python"] = {EVIL.replace("\udce9", ""): EVIL.replace("\udce9", "")}
    document["sha256"] = _own_digest(document)
    other.write_text(json.dumps(document), encoding="utf-8")
    return other


@pytest.mark.parametrize("command", ["show", "diff", "explain", "verify", "html", "sign"])
def test_an_error_is_one_printable_line(command: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = EVIL.replace("/", "-").replace("\udce9", "")
    Path(name).write_text(f'{{"a":1,"{name.replace(chr(10), "")}"', encoding="utf-8")
    arguments = {"diff": [name, name], "html": [name, "-o", "x.html"], "sign": [name, "--key", name]}
    assert main([command, *arguments.get(command, [name])]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pytest-repro: ")
    assert error.count("\n") == 1
    assert_printable(error)
