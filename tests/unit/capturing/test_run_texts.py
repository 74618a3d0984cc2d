"""Texts of a run: only its own folders, drawn names and addresses are replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.capturing.run_texts import RunTexts

BASE = "/tmp/pytest-of-x/pytest-3"


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"{BASE}/test_a0/f", "<tmp>/test_a0/f"),
        (BASE, "<tmp>"),
        (f"saved to {BASE}.", "saved to <tmp>."),
        (f"file://{BASE}/a", "file://<tmp>/a"),
        (f"['{BASE}/a', \"{BASE}/b\"]", "['<tmp>/a', \"<tmp>/b\"]"),
        ("../../tmp/pytest-of-x/pytest-3/a", "../../<tmp>/a"),
        ("../pytest-of-x/pytest-3/a", "../<tmp>/a"),
        ("../pytest-3/a", "../pytest-3/a"),
        ("../pytest-of-x/pytest-3x/a", "../pytest-of-x/pytest-3x/a"),
        (f"{BASE}x/test_a0", f"{BASE}x/test_a0"),
        (f"{BASE}0/test_a0", f"{BASE}0/test_a0"),
        (f"{BASE}.bak/a", f"{BASE}.bak/a"),
        (f"{BASE}-old/a", f"{BASE}-old/a"),
        (f"/var{BASE}/a", f"/var{BASE}/a"),
        ("/tmp/pytest-of-x/pytest-4/a", "/tmp/pytest-of-x/pytest-4/a"),
        ("no folder", "no folder"),
    ],
)
def test_only_whole_path_components_are_replaced(text: str, expected: str) -> None:
    assert RunTexts([BASE]).normalise(text) == expected


def test_the_innermost_folder_is_replaced_where_one_lies_in_another() -> None:
    texts = RunTexts(["/tmp/a", "/tmp/a/b/tmp"])
    assert texts.normalise("/tmp/a/b/tmp/f and /tmp/a/c") == "<tmp>/f and <tmp>/c"


def test_the_folder_is_found_under_its_resolved_name_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert RunTexts([str(tmp_path / "link")]).normalise(str(tmp_path / "real" / "f")) == "<tmp>/f"


def test_the_root_is_never_a_temporary_folder() -> None:
    assert RunTexts(["/", "/tmp"]).normalise("/tmp/a") == "/tmp/a"


def test_drawn_names_are_replaced_wherever_they_stand() -> None:
    names: set[str] = set()
    texts = RunTexts([], names)
    assert texts.normalise("/tmp/tmpab12cd_x") == "/tmp/tmpab12cd_x"
    names.add("ab12cd_x")
    assert texts.normalise("/tmp/tmpab12cd_x/f") == "/tmp/tmp<random>/f"


def test_addresses_of_objects_are_replaced() -> None:
    first, second = object(), object()
    assert RunTexts().normalise(repr(first)) == RunTexts().normalise(repr(second)) == "<object object at 0x...>"


@pytest.mark.parametrize(
    "text", ["checksum 0xdeadbeef12345678", "read at 0xdeadbeef12345678", "at 0x12", "0x7f0000000000"]
)
def test_other_hexadecimal_numbers_are_kept(text: str) -> None:
    assert RunTexts().normalise(text) == text


def test_bytes_are_replaced_as_their_text_is() -> None:
    texts = RunTexts([BASE])
    assert texts.normalise_bytes(f"\xff{BASE}/a".encode("latin-1")) == b"\xff<tmp>/a"
    assert texts.normalise_bytes(bytes(range(256))) == bytes(range(256))
