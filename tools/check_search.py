"""Check the search index of the built documentation: guides and reference are in it, and decisions are not.

Run ``python tools/check_search.py FOLDER`` after sphinx-build.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

#: A page that the search must find, and a word of it.
FOUND = ("how-to/notebooks", "notebook")
LEFT_OUT = "adr/"
#: Words of the text, and of titles.
KINDS = ("terms", "titleterms")


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index, which Sphinx writes as a call in JavaScript."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return index


def find_pages(index: dict[str, Any], kind: str) -> set[str]:
    """Return the pages that any word of a kind (`terms`, `titleterms`) leads to."""
    pages: set[int] = set()
    for found in index[kind].values():
        pages |= set(found if isinstance(found, list) else [found])
    return {index["docnames"][page] for page in pages}


def main() -> int:
    """Print what is wrong, and return whether anything is."""
    index = read_index(Path(sys.argv[1]))
    wrong = sorted({page for kind in KINDS for page in find_pages(index, kind) if page.startswith(LEFT_OUT)})
    problems = [f"{page} is in the search index" for page in wrong]
    page, word = FOUND
    leads_to = {kind: {word: index[kind].get(word, [])} for kind in KINDS}
    if not any(page in find_pages({**index, **leads_to}, kind) for kind in KINDS):
        problems.append(f"the search does not find {page} by {word!r}")
    print("\n".join(problems) or f"{len(index['docnames'])} pages")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
