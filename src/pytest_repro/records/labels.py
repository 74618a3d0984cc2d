"""Labels of environments, which are names of folders. Loads no NumPy: options are checked at start-up."""

from __future__ import annotations

MAX_LABEL = 64


def describe_label_problem(label: str) -> str:
    """Return what is wrong with a label, or an empty text."""
    if not label or label in (".", "..") or len(label) > MAX_LABEL:
        return f"a label has 1 to {MAX_LABEL} characters and is not '.' or '..'"
    if not label.isprintable() or label != label.strip() or set(label) & set('/\\"') or label.startswith("-"):
        return "a label has no control characters, slashes or quotes, and begins with neither a space nor '-'"
    return ""
