"""Sphinx: Markdown pages, every warning an error (tox -e docs). Nothing is fetched while it builds."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "pytest-repro"
author = "The pytest-repro developers"
copyright = author
release = installed_version("pytest-repro")
version = release

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "fieldlist"]
myst_heading_anchors = 3  # so that a page can link to another page's heading, and a wrong link is a warning
exclude_patterns = ["_build", "how-to/real_libraries"]  # included by the page about them

html_theme = "furo"
html_title = f"pytest-repro {release}"
html_extra_path = ["schemas"]  # the JSON Schema is served as it is
