"""Run the examples that README and documentation show, and write their outputs: ``python tools/outputs.py``.

``tests/quality/test_documentation.py`` fails if the plugin's output differs from these, except for figures and times.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools import picture  # a script finds its neighbours only by this

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "docs" / "tutorial" / "code"
OUTPUTS = ROOT / "docs" / "outputs"
COLOUR = re.compile(r"\x1b\[[\d;]*m")

#: Name of the output -> test file, additional arguments. `ci` is the command of the tutorial's job.
SHOWN = {
    "first-test": ("test_train.py", "--repro-json=first-test.json"),
    "repaired": ("test_repaired.py",),
    "ci": ("test_repaired.py", "--repro-json=repro.json"),
    "scan": ("test_existing.py", "--repro-all"),
}
#: Files that the reader has under another name.
NAMES = {"test_repaired.py": "test_train.py"}


def run_pytest(file: Path, folder: Path, *arguments: str, name: str = "") -> str:
    """Copy a test file to `folder`, run pytest on it, and return its output for a terminal of 80 columns."""
    name = name or file.name
    copy(file, folder / name)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # so that pytest finds no other configuration
    command = [sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider", "-p", "pytest_repro.plugin"]
    command.append("--color=yes")
    # Without other plugins, so that the output is the same everywhere.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80"}
    for unwanted in ("PYTEST_ADDOPTS", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "CI", "GITHUB_ACTIONS"):
        environment.pop(unwanted, None)
    done = subprocess.run(
        [*command, name, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{file.name}: pytest exited with status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def without_colours(output: str) -> str:
    """Return an output as a file has it."""
    return COLOUR.sub("", output)


def run(name: str, folder: Path) -> str:
    """Run one of `SHOWN` in `folder` and return its output, without the line about the report that is made besides."""
    file, *arguments = SHOWN[name]
    lines = run_pytest(CODE / file, folder, *arguments, name=NAMES.get(file, file)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("written to ") and "\r" not in line)


def main() -> int:
    """Run all examples, write their outputs, and draw that of README."""
    OUTPUTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for shown in SHOWN:
            coloured = run(shown, folder)
            if shown == picture.NAME:
                (OUTPUTS / f"{shown}.ansi").write_text(coloured + "\n", encoding="utf-8")
            (OUTPUTS / f"{shown}.txt").write_text(without_colours(coloured) + "\n", encoding="utf-8")
        document = json.loads((folder / "first-test.json").read_text(encoding="utf-8"))
        for name in ("environment", "code"):  # specific to this machine, and 200 lines long
            del document[name]
        text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
        (OUTPUTS / "first-test.json").write_text(text, encoding="utf-8")
    return picture.main()


if __name__ == "__main__":
    sys.exit(main())
