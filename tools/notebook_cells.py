"""Run cells in a real IPython shell, and print what came of each as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from IPython.core.interactiveshell import InteractiveShell


def main() -> None:
    """Read a list of cells from the first argument's file."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        cells = json.load(file)
    shell = InteractiveShell.instance(colors="NoColor")
    found = []
    for text in cells:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            done = shell.run_cell(text)
        error = done.error_in_exec or done.error_before_exec
        value = done.result
        html = getattr(value, "_repr_html_", None)
        found.append(
            {
                "printed": printed.getvalue(),
                "error": "" if error is None else f"{type(error).__name__}: {error}",
                "text": "" if value is None else str(value),
                "verdict": str(getattr(value, "verdict", "")),
                "html": "" if html is None else html(),
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
