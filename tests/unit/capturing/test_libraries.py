"""Imported files are told that no installer's RECORD vouches for, of every package."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.capturing.libraries import describe_libraries
from pytest_repro.capturing.used_files import describe_used


def install(site: Path, name: str, text: str, installer: str = "pip") -> Path:
    """Install a package of one module, and return the module."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "RECORD").write_text(f"{name}.py,sha256={digest},{len(text)}\n")
    (info / "INSTALLER").write_text(installer)
    (site / f"{name}.py").write_text(text)
    return site / f"{name}.py"


def test_changed_and_added_files_of_every_imported_package_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "site-packages"
    sound, changed = install(site, "sound", "a = 1\n"), install(site, "changed", "b = 1\n")
    unused, conda = install(site, "unused", "c = 1\n"), install(site, "conda_made", "d = 1\n", "conda")
    changed.write_text("b = 2\n")
    unused.write_text("c = 2\n")
    (site / "added.py").write_text("e = 1\n")
    (site / "start.pth").write_text("import added\n")
    monkeypatch.setattr("sys.path", [str(site)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found: Any = describe_libraries(map(str, [sound, changed, conda, site / "added.py", site / "gone.py"]))
    assert found == {
        "outside": {
            f"site-packages/{name}": f"sha256:{hashlib.sha256((site / name).read_bytes()).hexdigest()}"
            for name in ("added.py", "changed.py", "start.pth")
        },
        "unchecked": ["conda-made"],
        "left_out": 0,
    }


def test_a_module_in_an_archive_is_told_by_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped.py", "a = 1")
    found: Any = describe_used(tmp_path, [str(archive / "zipped.py")])
    assert found["outside"] == {"modules.zip": f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"}
