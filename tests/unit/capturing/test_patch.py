"""The patch of a bundle has no secret of the files that it is about."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pytest_repro.capturing.patch import make_patch

LINES = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj")
KEY = "\n".join(("-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""))


def test_a_private_key_is_hidden_with_all_its_lines_and_the_patch_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("rate = 0.1\n")
    for command in ("init -q", "add -A", "-c user.email=a@b.c -c user.name=t commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "model.py").write_text(f'rate = 0.2\nKEY = """\n{KEY}"""\n')
    patch = make_patch(tmp_path, [str(tmp_path / "model.py")])
    assert b"+rate = 0.2" in patch.data
    assert not any(line.encode() in patch.data for line in LINES)
    assert any("secrets were removed" in note for note in patch.notes)
