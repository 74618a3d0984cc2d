"""Run the examples with real libraries, and write the outputs that docs/how-to/real-libraries.md shows.

``python -m tools.real_libraries [NAME ...]`` in an environment with the libraries. Without names, all examples whose
libraries are installed are run. It takes minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.outputs import ROOT, run_pytest, without_colours

CODE = ROOT / "docs" / "how-to" / "real_libraries"

#: Name -> distributions that the example needs, additional arguments.
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
#: The heading of a failure.
_TITLE = re.compile(r"_{3,} \w+ _{3,}$")


def run(name: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """Run one of `SHOWN` in `folder`, and return its output and the tests of its JSON report."""
    report = folder / f"{name}.json"
    text = run_pytest(CODE / f"test_{name}.py", folder, *SHOWN[name][1], f"--repro-json={report.name}")
    return without_colours(text), json.loads(report.read_text(encoding="utf-8"))["tests"]


def abridge(text: str) -> str:
    """Keep each failure and the summary, with ``...`` for omitted lines."""
    kept: list[str] = []
    state = "before"
    for line in text.splitlines():
        if _TITLE.match(line):
            state = "failure"
        elif line.startswith("=") and " reproducibility " in line:
            state = "summary"
        elif line.startswith("=") and " short test summary info " in line:
            state = "end"
        if state in ("failure", "summary"):
            kept.append(line)
        elif kept[-1:] != ["..."]:
            kept.append("...")
    return "\n".join(kept).strip()


def describe_versions(names: list[str]) -> str:
    """Return one line with the versions of the interpreter and of each distribution, and the number of cores."""
    wanted = dict.fromkeys(["numpy", "scipy", *(part for name in names for part in SHOWN[name][0])])
    versions = [f"{part} {importlib.metadata.version(part)}" for part in wanted]
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}, {', '.join(versions)}; {os.cpu_count()} cores."


def is_installed(name: str) -> bool:
    """Return whether all distributions that an example needs are installed."""
    try:
        for part in SHOWN[name][0]:
            importlib.metadata.version(part)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def format_row(name: str, test: dict[str, Any]) -> str:
    """Return the table row of a test."""
    begin = f"| `test_{name}.py` | `{test['nodeid'].rpartition('::')[2]}` | {test['verdict'].upper()}"
    found = test.get("diagnosis")
    if not found:
        return f"{begin} | | |"
    causes = ", ".join(f"`{cause['code']}`" for cause in found["causes"]) or "unknown"
    return f"{begin} | {causes} | {found['seconds']:.0f} |"


def write_table(rows: dict[str, list[str]]) -> None:
    """Write the rows of the examples that were run, and keep the rows of the others."""
    path = CODE / "results.md"
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = ["| file | test | verdict | cause | diagnosis [s] |", "|---|---|---|---|---|"]
    for name in SHOWN:
        lines += rows.get(name) or [line for line in before if line.startswith(f"| `test_{name}.py` |")]
    path.write_text("\n".join([*lines, "", describe_versions(list(SHOWN)), ""]), encoding="utf-8")


def main() -> int:
    """Run the examples, and write their outputs and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="examples, without test_ and .py")
    names = parser.parse_args().names or [name for name in SHOWN if is_installed(name)]
    rows = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            text, tests = run(name, Path(folder))
        (CODE / f"{name}.txt").write_text(abridge(text) + "\n", encoding="utf-8")
        rows[name] = [format_row(name, test) for test in tests]
        write_table(rows)
        print("\n".join(rows[name]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
