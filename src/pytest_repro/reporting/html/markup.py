"""Elements of HTML from Python values. Everything that is not :class:`Markup` is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from pytest_repro.model.text import escape

#: Longest text that is shown in full [characters]; a node id or a reason may be a megabyte.
MAX_TEXT = 400
_VOID = frozenset({"meta", "link", "br", "line", "rect", "circle", "path", "polyline"})


class Markup(str):
    """HTML that was made here and needs no escaping."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def el(tag: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """Return one element.

    Parameters
    ----------
    tag : str
    *children : str, int, None, or iterables of these
        Markup is taken as it is, all else is escaped. None is omitted.
    **attributes : str, number or None
        ``class_`` for ``class``, ``aria_label`` for ``aria-label``. None omits the attribute.
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{named}>" if tag in ("meta", "link", "br") else f"<{tag}{named}/>")
    return Markup(f"<{tag}{named}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Return children one after the other."""
    return Markup("".join(map(_render, children)))


def user(text: object, limit: int = MAX_TEXT) -> Markup:
    """Return text from users, isolated so that right-to-left letters in it do not reorder what is next to it."""
    return el("bdi", plain(str(text), limit))


def code(text: object, limit: int = MAX_TEXT) -> Markup:
    """Return text from users that is code, a path or a name."""
    return el("code", user(text, limit))


def lines(text: str, limit: int = 4000) -> Markup:
    """Return text of several lines as one block that keeps the line breaks."""
    shown = "\n".join(plain(line, limit) for line in text[: limit + 1].split("\n"))
    if len(text) > limit:
        shown = f"{shown[:limit]}\n... ({len(text):,} characters in all)"
    return el("p", el("bdi", Markup(html.escape(shown))), class_="lines")


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Return bounded text in which control characters, and others that hide or move their neighbours, are spelt out.

    Where a text is cut, its length is appended.
    """
    if len(text) > limit:
        head = limit * 2 // 3
        kept = f"{text[:head]} ... {text[head - limit :]}"
        return f"{escape(kept)} ({len(text):,} characters in all)"
    return escape(text)


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, (str, int)):
        return _escaped(str(child))
    return join(child)


def _escaped(text: str) -> str:
    return html.escape(plain(text, 2 * MAX_TEXT))


def svg(name: str, width: int, height: int, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    """Return an inline SVG with its title and its description, with `name` as the prefix of their ids."""
    heading = el("title", title, id=f"{name}-title"), el("desc", description, id=f"{name}-desc")
    return el(
        "svg",
        heading,
        parts,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
    )
