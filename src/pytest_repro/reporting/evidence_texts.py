"""The files of a bundle that are written for readers, and how each is rendered from its documents."""

from __future__ import annotations

from pytest_repro.records.evidence import PAGE, SUMMARY, Render
from pytest_repro.reporting.html import render_report
from pytest_repro.reporting.markdown import summarise_evidence

TEXTS: dict[str, Render] = {SUMMARY: summarise_evidence, PAGE: render_report}
