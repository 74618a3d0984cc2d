"""Write requirements/locked.txt, which pins each package that the project's environments may install.

pip resolves the packages without installing them. Run ``tox -e lock`` after a change of dependencies.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
OTHERS = (
    "ipykernel",
    "ipython",
    "lightgbm",
    "nbclient",
    "pexpect",
    "pillow",
    "polars",
    "pyarrow",
    "pyright[nodejs]",
    "xarray",
    "xgboost-cpu",
)  # tox.ini says for what
EXTRAS = "sklearn,pandas,scipy,jax,hypothesis,clock,threads,records,onnx,audit,test,plugins,docs,lint"
HEADER = f"""\
# Written by `tox -e lock`; do not edit. Used as constraints by tox, and audited by `tox -e audit`.
# Contains {TORCH}, {", ".join(OTHERS)} and pytest-repro[{EXTRAS}].
"""


def resolve(*requirements: str) -> dict[str, Any]:
    """Return pip's installation report for `requirements`, as if nothing were installed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run([*command, *requirements], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def pins(report: dict[str, Any]) -> list[str]:
    """Return ``name==version`` of each package of `report` except the project itself, sorted by name.

    The local part of a version (``+cpu`` in ``2.13.0+cpu``) is removed, because other indexes may not have that build.
    """
    found = {}
    for entry in report["install"]:
        name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
        if name != "pytest-repro":
            found[name] = entry["metadata"]["version"].partition("+")[0]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def main(argv: list[str] | None = None) -> int:
    """Resolve the packages, write the file, and print the number of packages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / "requirements" / "locked.txt")
    output: Path = parser.parse_args(argv).output
    lines = pins(resolve(f"{ROOT}[{EXTRAS}]", TORCH, *OTHERS))
    output.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{output}: {len(lines)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
