"""The report as one HTML file: no network, no script needed to read it; a pure function of the JSON report."""

from __future__ import annotations

from pytest_repro.reporting.html.document import read_document
from pytest_repro.reporting.html.page import Context, render_report

__all__ = ["Context", "read_document", "render_report"]
