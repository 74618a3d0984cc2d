"""Run the examples with real libraries and write what docs/how-to/real-libraries.md shows of them.

``python tools/real_libraries.py [NAME ...]`` in an environment that has the libraries; without names all that can be
imported. It takes minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "docs" / "how-to" / "real_libraries"

#: Name -> distributions that the file is about, further arguments.
SHOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "umap": (("umap-learn", "numba"), ("--repro-diagnose-budget=400",)),
    "word2vec": (("gensim",), ()),
    "hnsw": (("hnswlib",), ()),
    "leiden": (("leidenalg", "igraph"), ()),
    "node2vec": (("node2vec", "gensim", "joblib"), ("--repro-diagnose-budget=300",)),
    "forest": (("scikit-learn",), ()),
    "clusters": (("scikit-learn", "threadpoolctl"), ()),
    "transformer": (("torch",), ()),
}
#: How the lines begin that stand after the figures of a failure, and how a failure is headed.
_FINDING = re.compile(r"  (axis|where|cause|fix|note|next) ")
_TITLE = re.compile(r"_{3,} \w+ _{3,}$")


def run(name: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """Run one of `SHOWN` in `folder`; return what a terminal of 100 columns shows, and the tests of the JSON report."""
    file, arguments = f"test_{name}.py", SHOWN[name][1]
    copy(CODE / file, folder)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    report = folder / f"{name}.json"
    command = [sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider", "-p", "pytest_repro.plugin"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    for unwanted in ("PYTEST_ADDOPTS", "FORCE_COLOR", "PY_COLORS", "CI", "GITHUB_ACTIONS"):
        environment.pop(unwanted, None)
    done = subprocess.run(
        [*command, file, *arguments, f"--repro-json={report.name}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{name}: pytest ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip(), json.loads(report.read_text(encoding="utf-8"))["tests"]


def abridge(text: str) -> str:
    """Keep of each failure its table and its findings, and the summary; where something is left out stands ``...``."""
    kept: list[str] = []
    state = "before"
    for line in text.splitlines():
        if _TITLE.match(line):
            state = "table"
        elif line.startswith("=") and " reproducibility " in line:
            state = "summary"
        elif line.startswith("=") and " short test summary info " in line:
            state = "end"
        elif state == "table" and line.endswith(": the values differ"):
            state = "figures"
        elif state in ("table", "figures") and _FINDING.match(line):
            state = "findings"
        if state in ("table", "findings", "summary"):
            kept.append(line)
        elif kept[-1:] != ["..."]:
            kept.append("...")
    return "\n".join(kept).strip()


def tell_versions(names: list[str]) -> str:
    """Return one line: the interpreter and each distribution with its version."""
    wanted = dict.fromkeys(["numpy", "scipy", *(part for name in names for part in SHOWN[name][0])])
    told = [f"{part} {importlib.metadata.version(part)}" for part in wanted]
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}, {', '.join(told)}; {os.cpu_count()} cores."


def is_installed(name: str) -> bool:
    """Tell whether all that an example is about is here."""
    try:
        for part in SHOWN[name][0]:
            importlib.metadata.version(part)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def tell_row(name: str, test: dict[str, Any]) -> str:
    """Return a test's line of the table."""
    begin = f"| `test_{name}.py` | `{test['nodeid'].rpartition('::')[2]}` | {test['verdict'].upper()}"
    found = test.get("diagnosis")
    if not found:
        return f"{begin} | | |"
    causes = ", ".join(f"`{cause['code']}`" for cause in found["causes"]) or "unknown"
    return f"{begin} | {causes} | {found['seconds']:.0f} |"


def write_table(rows: dict[str, list[str]]) -> None:
    """Write the rows of the examples that were run, and keep those of the others."""
    path = CODE / "results.md"
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = ["| file | test | verdict | cause | diagnosis [s] |", "|---|---|---|---|---|"]
    for name in SHOWN:
        lines += rows.get(name) or [line for line in before if line.startswith(f"| `test_{name}.py` |")]
    path.write_text("\n".join([*lines, "", tell_versions(list(SHOWN)), ""]), encoding="utf-8")


def main() -> int:
    """Run what is named, write the outputs and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="examples, without test_ and .py")
    names = parser.parse_args().names or [name for name in SHOWN if is_installed(name)]
    rows = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            text, tests = run(name, Path(folder))
        (CODE / f"{name}.txt").write_text(abridge(text) + "\n", encoding="utf-8")
        rows[name] = [tell_row(name, test) for test in tests]
        write_table(rows)
        print("\n".join(rows[name]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
