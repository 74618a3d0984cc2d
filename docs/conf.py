"""Sphinx: Markdown pages, every warning an error (tox -e docs). Nothing is fetched while it builds."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

project = "pytest-repro"
author = "The pytest-repro developers"
copyright = author
release = installed_version("pytest-repro")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "fieldlist"]
myst_heading_anchors = 3  # so that a page can link to another page's heading, and a wrong link is a warning
exclude_patterns = ["_build", "how-to/real_libraries"]  # included by the page about them

# Docstrings are numpydoc. Signatures show annotations as they are written, since imports for types alone are not made.
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"pytest-repro {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_extra_path = ["schemas"]  # the JSON Schema is served as it is


def leave_decisions_out_of_the_search(app: Any, doctree: Any) -> None:
    """Keep decisions out of the search index: they would come before the guides that say how it is today."""
    if app.env.docname.startswith("adr/"):
        app.env.metadata[app.env.docname]["nosearch"] = True


def setup(app: Any) -> None:
    """Connect the handler."""
    app.connect("doctree-read", leave_decisions_out_of_the_search)
