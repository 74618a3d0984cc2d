"""Files of installed packages against their RECORD."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.metadata import distributions

import pytest

from pytest_repro.capturing import installed_files
from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.installed_files import describe_installed


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(installed_files, "_known", {})
    installed_files._load_cache.cache_clear()
    yield installed_files._cache_file()
    installed_files._load_cache.cache_clear()


@pytest.fixture
def site(tmp_path):
    """Install a package that computes."""
    folder = tmp_path / "site"
    (folder / "numpy").mkdir(parents=True)
    (folder / "numpy-9.dist-info").mkdir()
    rows = []
    for name, text in {"numpy/__init__.py": "a = 1\n", "numpy/core.so": "binary"}.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (10**9, 10**9))
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        rows.append(f"{name},sha256={digest},{len(text)}")
    (folder / "numpy-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: NumPy\nVersion: 9\n")
    (folder / "numpy-9.dist-info" / "RECORD").write_text("\n".join([*rows, "numpy-9.dist-info/RECORD,,"]))
    return folder


def describe(site, names=("numpy",), **options):
    return describe_installed(distributions(path=[str(site)]), names, **{"budget_s": 60, **options})


def test_files_as_installed_are_told_apart_from_edited_and_missing_ones(site):
    assert describe(site) == {"changed": {}, "unchecked": {}}
    (site / "numpy" / "core.so").write_text("patched")
    (site / "numpy" / "__init__.py").unlink()
    digest = f"sha256:{hashlib.sha256(b'patched').hexdigest()}"
    expected = {"numpy": {"numpy/__init__.py": "missing", "numpy/core.so": digest}}
    assert describe(site) == {"changed": expected, "unchecked": {}}


def test_a_change_of_the_same_length_under_the_old_time_stamp_is_seen(site):
    describe(site)
    path = site / "numpy" / "core.so"
    before = path.stat()
    path.write_text("BINARY")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [*describe(site)["changed"]["numpy"]] == ["numpy/core.so"]


def test_digests_are_kept_for_the_next_session_until_a_file_changes(site, cache, monkeypatch):
    monkeypatch.setattr(installed_files, "_FRESH_NS", -(10**18))
    describe(site)
    assert cache.exists()
    monkeypatch.setattr(installed_files, "_known", {})
    installed_files._load_cache.cache_clear()
    monkeypatch.setattr(installed_files.hashlib, "file_digest", None)  # a file that is read again fails
    assert describe(site) == {"changed": {}, "unchecked": {}}


def test_a_package_without_record_or_of_conda_is_listed_as_unchecked(site):
    (site / "numpy-9.dist-info" / "INSTALLER").write_text("conda\n")
    assert describe(site)["unchecked"] == {"numpy": "conda installed it"}
    (site / "numpy-9.dist-info" / "RECORD").unlink()
    assert describe(site)["unchecked"] == {"numpy": "it has no RECORD"}


def test_a_comparison_that_takes_too_long_is_unavailable(site):
    with pytest.raises(Unavailable, match="took longer"):
        describe(site, budget_s=-1)


def test_a_damaged_cache_is_ignored(site, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text('[["x"]]')
    assert describe(site)["changed"] == {}


def test_byte_code_of_the_wheel_that_the_installer_compiled_anew_is_no_change(site):
    record = site / "numpy-9.dist-info" / "RECORD"
    record.write_text(f"numpy/__pycache__/a.cpython-311.pyc,sha256=abc,3\n{record.read_text()}")
    assert describe(site) == {"changed": {}, "unchecked": {}}


def test_the_files_of_other_environments_are_neither_read_nor_kept(site, cache, monkeypatch):
    monkeypatch.setattr(installed_files, "_FRESH_NS", -(10**18))
    describe(site)
    assert len(installed_files._known) == 2
    monkeypatch.setattr(installed_files, "_known", {})
    installed_files._load_cache.cache_clear()
    monkeypatch.setattr(installed_files.sys, "prefix", str(site))
    assert installed_files._cache_file() != cache
    installed_files._load_cache()
    assert installed_files._known == {}
