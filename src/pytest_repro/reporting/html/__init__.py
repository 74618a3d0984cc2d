"""The report as one HTML file, which needs neither the network nor its script to be read."""

from __future__ import annotations

from pytest_repro.reporting.html.page import render_report

__all__ = ["render_report"]
