"""Draw the output that README shows, for light and dark pages: ``python tools/picture.py``. Needs ``pip install rich``.

The pictures are made of the stored output with its colours, so the same output always gives the same files.
"""

from __future__ import annotations

import io
import re
import sys
from html import unescape
from pathlib import Path

OUTPUTS = Path(__file__).resolve().parent.parent / "docs" / "outputs"
NAME = "first-test"
COLUMNS = 80
TITLE = "pytest test_train.py"
#: Background, text, and the eight colours of a terminal: black, red, green, yellow, blue, magenta, cyan, white.
THEMES = {
    "light": ("#ffffff", "#1f2328", "#24292f #cf222e #116329 #7d4e00 #0969da #8250df #1b7c83 #57606a"),
    "dark": ("#0d1117", "#e6edf3", "#484f58 #ff7b72 #56d364 #e3b341 #79c0ff #d2a8ff #56d4dd #b1bac4"),
}
_LINE = re.compile(r'<text [^>]*\by="(?P<y>[\d.]+)"[^>]*clip-path="url\(#[^"]*-line-\d+\)"[^>]*>(?P<text>.*?)</text>')
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def read_output() -> str:
    """Return the stored output with its colours."""
    return (OUTPUTS / f"{NAME}.ansi").read_text(encoding="utf-8")


def draw(output: str, theme: str) -> str:
    """Draw an output as SVG, in a font of the reader's: a page loads nothing for it."""
    from rich.color import parse_rgb_hex
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    background, foreground, names = THEMES[theme]
    colours: list[tuple[int, int, int]] = [parse_rgb_hex(name[1:]) for name in names.split()]
    page, ink = parse_rgb_hex(background[1:]), parse_rgb_hex(foreground[1:])
    console = Console(
        width=COLUMNS,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    console.print(Text.from_ansi(output.rstrip("\n")))
    svg = console.export_svg(
        title=TITLE, theme=TerminalTheme(page, ink, colours), unique_id=f"{NAME}-{theme}", font_aspect_ratio=0.6
    )
    svg = svg.replace("rgba(255,255,255,0.35)", foreground).replace(
        'stroke-width="1"', 'stroke-width="1" stroke-opacity="0.3"'
    )
    svg = _FONT.sub("", svg).replace("Fira Code", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono'")
    return "\n".join(line.rstrip() for line in svg.splitlines()).rstrip() + "\n"


def read_text(svg: str) -> list[str]:
    """Return the lines of text in a picture."""
    rows: dict[float, str] = {}
    for found in _LINE.finditer(svg):
        row = float(found["y"])
        rows[row] = rows.get(row, "") + unescape(found["text"]).replace("\xa0", " ")
    return [rows[row].rstrip() for row in sorted(rows)]


def main() -> int:
    """Draw the pictures."""
    for theme in THEMES:
        (OUTPUTS / f"{NAME}-{theme}.svg").write_text(draw(read_output(), theme), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
