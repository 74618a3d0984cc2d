"""Execute the cells of docs/how-to/notebooks.md in IPython, and write their outputs.

Run ``python tools/notebook_outputs.py``; it needs IPython.

``tests/plugin/test_notebooks.py`` fails if the outputs differ from these, except for figures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Of the messages of errors.
WIDTH = 96
PAGE = ROOT / "docs" / "how-to" / "notebooks.md"
_CELL = re.compile(r"```python\n(?P<cell>.*?)```\n(?:\n```text\n(?P<shown>.*?)\n```)?", re.DOTALL)


def cells_of(text: str) -> list[tuple[str, str]]:
    """Return the cells of a page, each with the output that is shown below it."""
    return [(match["cell"], match["shown"] or "") for match in _CELL.finditer(text)]


def execute(cells: list[str]) -> list[str]:
    """Execute cells in one shell, and return the output of each as text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "cells.json")
        file.write_text(json.dumps(cells), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("notebook_cells.py")), str(file)],
            cwd=folder,
            env={**os.environ, "IPYTHONDIR": folder},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return [str(each["text"] or textwrap.fill(each["error"], WIDTH)) for each in found]


def main() -> int:
    """Write the outputs into the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = iter(execute([cell for cell, _ in cells_of(text)]))

    def fill(match: re.Match[str]) -> str:
        shown = next(found)
        return f"```python\n{match['cell']}```\n" + (f"\n```text\n{shown}\n```" if shown else "")

    PAGE.write_text(_CELL.sub(fill, text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
