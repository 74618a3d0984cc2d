"""The subcommand `merge`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommands to the parser."""
    merge = add_command(
        commands,
        "merge",
        _merge,
        "compare collections (pytest --repro-collect) of several environments; exit status 1 unless all tests have one "
        "result everywhere",
        prints_json=False,
    )
    merge.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a collection")
    merge.add_argument(
        "--baseline", metavar="LABEL", help="environment to compare with; default: the first of the largest group"
    )
    merge.add_argument("--html", type=Path, metavar="FILE", help="write a page without other files")
    merge.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown, for a pull request")
    merge.add_argument("--json", dest="document", type=Path, metavar="FILE", help="write every verdict and figure")


def _merge(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.codec import encode
    from pytest_repro.model.merged import without_secrets
    from pytest_repro.records.collection import check_files, read_collection
    from pytest_repro.records.merging import merge_collections
    from pytest_repro.reporting.json_report import write_atomically
    from pytest_repro.reporting.merged_text import merge_lines

    collections = [read_collection(folder) for folder in options.folders]
    absent = {collection.label: check_files(collection) for collection in collections}
    merged = without_secrets(merge_collections(collections, baseline=options.baseline, absent=absent))
    if options.html is not None:
        from pytest_repro.reporting.html.merged import render_merge

        write_atomically(options.html, render_merge(merged))
    if options.markdown is not None:
        from pytest_repro.reporting.merged_markdown import merge_markdown

        write_atomically(options.markdown, merge_markdown(merged))
    if options.document is not None:
        write_atomically(options.document, json.dumps(encode(merged), indent=1, ensure_ascii=True) + "\n")
    width = max(60, min(160, shutil.get_terminal_size((80, 24)).columns))
    return (SAME if merged.is_same else DIFFERENT), None, "\n".join(merge_lines(merged, width=width))
