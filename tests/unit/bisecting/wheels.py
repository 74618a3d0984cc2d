"""Wheels of a tiny package, and an index of them."""

from __future__ import annotations

import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, release: str, source: str) -> Path:
    """Write a wheel with one module."""
    path = folder / f"{name}-{release}-py3-none-any.whl"
    info = f"{name}-{release}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": f"{name}\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
        record = "".join(f"{member},,\n" for member in (*files, f"{info}/RECORD"))
        archive.writestr(f"{info}/RECORD", record)
    return path


def write_index(folder: Path, name: str, release: str, source: str = "", *, yanked: bool = False) -> str:
    """Add a wheel to an index of files, and return its name."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    wheel = write_wheel(place, name, release, source)
    mark = ' data-yanked="broken"' if yanked else ""
    with (place / "index.html").open("a", encoding="utf-8") as file:
        file.write(f'<a href="{wheel.name}"{mark}>{wheel.name}</a>\n')
    return wheel.name
