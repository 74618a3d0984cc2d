"""Subcommands for reports of `--repro-json`: `explain`, `html`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommands to the parser."""
    explain = add_command(commands, "explain", _explain, "show again why tests diverged; exit status 1 if any did")
    explain.add_argument("report", type=Path, help="a file written by --repro-json")
    explain.add_argument("nodeid", nargs="?", help="the test, or the end of its name; default: all that diverged")
    html = add_command(commands, "html", _html, "make an HTML report from a file written by --repro-json")
    html.add_argument("report", type=Path)
    html.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page to write")


def _explain(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.codec import encode
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.explanation import explain_tests, find_diverged
    from pytest_repro.reporting.json_report import read_report

    tests = find_diverged(without_secrets(read_report(options.report)).tests, options.nodeid)
    document = [{"nodeid": test.nodeid, "diagnosis": encode(test.diagnosis)} for test in tests]
    return (DIFFERENT if tests else SAME), document, explain_tests(tests)


def _html(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.html import render_report
    from pytest_repro.reporting.json_report import read_report, write_atomically

    page = render_report(without_secrets(read_report(options.report)))
    write_atomically(options.output, page)
    return SAME, {"written": str(options.output), "bytes": len(page.encode())}, f"written to {options.output}"
