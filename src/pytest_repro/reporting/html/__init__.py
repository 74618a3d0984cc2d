"""The report as one HTML file: no network, no script needed to read it; a pure function of the results."""

from __future__ import annotations

from pytest_repro.reporting.html.page import render_report

__all__ = ["render_report"]
