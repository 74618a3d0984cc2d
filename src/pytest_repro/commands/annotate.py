"""The subcommand `annotate`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import SAME, add_command

#: Variables of GitHub and GitLab that name the checkout, for where git cannot be asked.
_CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


def add(commands: Any) -> None:
    """Add the subcommand to the parser."""
    annotate = add_command(
        commands,
        "annotate",
        _annotate,
        "show what a file written by --repro-json found at the lines of code that cause it, in GitHub or GitLab; the "
        "exit status does not depend on it",
        prints_json=False,
    )
    annotate.add_argument("report", type=Path, metavar="REPORT.json")
    annotate.add_argument(
        "--format",
        choices=("github", "gitlab", "markdown"),
        default="github",
        help="github: annotations (default). gitlab: a code quality report. markdown: counts, findings and matrix, for "
        "$GITHUB_STEP_SUMMARY or a comment",
    )
    annotate.add_argument(
        "--root",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="pytest's root folder, to which the report's paths are relative; default: the working directory",
    )
    annotate.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a file; default: print")


def _annotate(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.redaction import redact_texts
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.annotations import github_lines, gitlab_report
    from pytest_repro.reporting.findings import find_findings
    from pytest_repro.reporting.json_report import read_report, write_atomically
    from pytest_repro.reporting.session_markdown import session_markdown
    from pytest_repro.reporting.summary import say_verdicts

    checkout = Checkout(options.root)
    session = without_secrets(read_report(options.report))
    findings = find_findings(session)
    document: Any = None
    if options.format == "gitlab":
        document = redact_texts(gitlab_report(findings, checkout.locate))
        text = json.dumps(document, indent=1)
        # Printed as a document: the rules for texts could break it.
        options.json = options.output is None
    elif options.format == "markdown":
        text = session_markdown(session, findings)
    else:
        text = "\n".join(github_lines(findings, checkout.locate)) or f"no findings: {say_verdicts(session.tests)}"
    if options.output is not None:
        write_atomically(options.output, text if text.endswith("\n") else f"{text}\n")
        text = f"written to {options.output}"
    return SAME, document, text


class Checkout:
    """The repository in which a report's files are found.

    Parameters
    ----------
    root : Path
        pytest's root folder: the repository itself, or a folder in it.

    Raises
    ------
    UsageError
        If it is not a folder.
    """

    def __init__(self, root: Path) -> None:
        from pytest_repro.errors import UsageError

        if not root.is_dir():
            raise UsageError(f"--root: {root} is not a folder; give the folder that pytest shows as rootdir")
        self._root = root.resolve()
        self._top = self._find_top()

    def _find_top(self) -> Path:
        from pytest_repro.capturing.budget import Unavailable
        from pytest_repro.capturing.git import find_root

        try:
            return find_root(self._root).resolve()
        except Unavailable:
            # No git, or a checkout of another user, as in a job's container.
            named = [Path(value).resolve() for name in _CHECKOUTS if (value := os.environ.get(name))]
            return next((path for path in named if self._root.is_relative_to(path)), self._root)

    def locate(self, file: str) -> str | None:
        """Return a file's path in the repository with forward slashes, or None if it is not one of its files."""
        try:
            path = (self._root / file).resolve()
            if path.is_file() and path.is_relative_to(self._top):
                return path.relative_to(self._top).as_posix()
        except (OSError, ValueError):
            # A name that no file can have: too long, or with a zero byte.
            pass
        return None
