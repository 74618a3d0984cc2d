"""`tools/audit.py`: audit of the locked packages. Judging a report is tested with `records/audit.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import audit


def test_a_requirement_without_a_pin_is_rejected_with_its_line(tmp_path):
    file = tmp_path / "locked.txt"
    file.write_text("# header\nnumpy==2.4.6  # why\n\ntorch>=2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"locked\.txt:4: not a pinned requirement .*torch>=2"):
        audit.read_pins(file)


def test_every_line_of_the_locked_file_is_pinned():
    pins = audit.read_pins(Path(__file__).parents[2] / "requirements" / "locked.txt")
    assert {"numpy", "pytest", "torch", "sphinx", "ruff"} <= pins.keys()


@pytest.mark.parametrize(
    ("body", "status", "shown"),
    [
        ("raise SystemExit('boom')", 3, ["NOT AUDITED: 0 of 1 packages audited", "pip-audit: boom"]),
        ("write([])", 3, ["NOT AUDITED: 0 of 1 packages audited", "absent from the report: numpy"]),
        ("write([{'name': 'numpy', 'version': '2.4.6', 'vulns': []}])", 0, ["CLEAN: 1 of 1 packages audited"]),
        (
            "write([{'name': 'numpy', 'version': '2.4.6', 'vulns': [{'id': 'PYSEC-1', 'fix_versions': ['3']}]}])",
            1,
            ["VULNERABLE", "numpy 2.4.6: PYSEC-1 (fixed in: 3)"],
        ),
    ],
)
def test_the_exit_status_depends_on_the_audit(tmp_path, monkeypatch, capsys, body, status, shown):
    file = tmp_path / "locked.txt"
    file.write_text("numpy==2.4.6\n", encoding="utf-8")
    (tmp_path / "pip_audit.py").write_text(
        "import json, pathlib, sys\n"
        "def write(d): pathlib.Path(sys.argv[-1]).write_text(json.dumps({'dependencies': d}))\n"
        f"{body}\nsys.exit(1)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert audit.main(["--requirement", "locked.txt"]) == status
    text = capsys.readouterr().out
    assert [part for part in shown if part not in text] == []
