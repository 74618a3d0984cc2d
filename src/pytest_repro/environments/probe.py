"""A program that tells what its interpreter has: ``python probe.py MODULE...`` prints one line of JSON.

It imports nothing of this package, and none of the modules that it looks for.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import sys
from importlib.metadata import distributions

#: Begins the line with the answer: start-up files may print as well.
MARK = "pytest-repro-probe:"


def has(name: str) -> bool:
    """Return whether a top-level module can be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def look(names: list[str]) -> dict[str, object]:
    """Return the interpreter's release, its packages, the plugins of pytest, and the modules that it lacks."""
    packages: dict[str, str] = {}
    plugins: list[str] = []
    for found in distributions():
        name = found.metadata["Name"]
        if name:
            # The first one on the search path is the one that is imported.
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), found.version)
            plugins.extend(entry.name for entry in found.entry_points if entry.group == "pytest11")
    python = platform.python_implementation() + " " + platform.python_version()
    missing = [name for name in names if not has(name)]
    return {"python": python, "packages": packages, "plugins": sorted(set(plugins)), "missing": missing}


if __name__ == "__main__":
    print(MARK + json.dumps(look(sys.argv[1:])))
