"""The report as one HTML file: no network, no script needed to read it; a pure function of the JSON report."""

from __future__ import annotations

from pytest_repro.reporting.html.page import Context, render_report
from pytest_repro.reporting.json_report import read_document

__all__ = ["Context", "read_document", "render_report"]
