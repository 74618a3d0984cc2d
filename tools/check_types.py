"""Fail if a type that the package exports is not known to pyright: ``python tools/check_types.py``.

The classes of `INCOMPLETE` derive from a class of a library that is several hundred megabytes large. This check does
without the libraries. The types are known where they are installed.
"""

from __future__ import annotations

import json
import subprocess
import sys

#: Public class -> the module with its base class.
INCOMPLETE = {
    "pytest_repro.integrations.lightning.ReproCallback": "lightning",
    "pytest_repro.integrations.transformers.ReproCallback": "transformers",
}


def main() -> int:
    """Run pyright, print what it finds, and return 1 if that is anything else than what is expected."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", "pytest_repro", "--ignoreexternal", "--outputjson"]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        print(done.stdout, done.stderr)
        return 1
    exported = found["exportedSymbolCounts"]
    unknown = {
        symbol["name"]: [each["message"] for each in symbol["diagnostics"]]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"] and symbol["name"] not in INCOMPLETE
    }
    for name, messages in unknown.items():
        print(f"{name}: {'; '.join(messages)}")
    print(f"types of {exported['withKnownType']:,} of {sum(exported.values()):,} exported symbols are known")
    return 1 if unknown or not exported["withKnownType"] else 0


if __name__ == "__main__":
    sys.exit(main())
