"""The patch of a bundle has no secret of the files that it is about."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pytest_repro.capturing.patch import MAX_FILE_BYTES, make_patch

LINES = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj")
KEY = "\n".join(("-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""))


def test_a_private_key_is_hidden_with_all_its_lines_and_the_patch_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("rate = 0.1\n")
    for command in ("init -q", "add -A", "-c user.email=a@b.c -c user.name=t commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "model.py").write_text(f'rate = 0.2\nKEY = """\n{KEY}"""\n')
    patch = make_patch(tmp_path, [str(tmp_path / "model.py")])
    assert b"+rate = 0.2" in patch.data
    assert not any(line.encode() in patch.data for line in LINES)
    assert any(note.startswith("model.py: secrets were removed") for note in patch.notes)


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.email=a@b.c", "-c", "user.name=t")
    return subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")


def test_a_patch_restores_files_that_only_the_index_has_and_that_nothing_imported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    commit(root, one="1\n", old="moved\n" * 20, gone="x\n", mode="m\n")
    (root / "added.py").write_text("added\n")
    (root / "later.py").write_text("later\n")
    git(root, "add", "added.py")
    git(root, "add", "-N", "later.py")
    git(root, "mv", "old.py", "new.py")
    git(root, "rm", "-q", "gone.py")
    (root / "mode.py").chmod(0o755)
    (root / "ünusual name.py").write_text("u\n")
    git(root, "add", "ünusual name.py")
    patch = make_patch(root, [])
    copy = tmp_path / "copy"
    git(tmp_path, "clone", "-q", str(root), str(copy))
    (tmp_path / "changes.patch").write_bytes(patch.data)
    git(copy, "apply", "--index", str(tmp_path / "changes.patch"))
    found = {path.name: path.read_text() for path in copy.glob("*.py")}
    assert found == {path.name: path.read_text() for path in root.glob("*.py")}
    assert (copy / "mode.py").stat().st_mode & 0o111
    assert patch.notes == ()


def test_records_are_no_part_of_the_patch_as_they_are_no_change_of_the_code(tmp_path: Path) -> None:
    commit(tmp_path, one="1\n")
    records = tmp_path / "records"
    records.mkdir()
    committed, added = (records / f"t.py-test_{name}-{digit * 12}.json" for name, digit in (("a", "a"), ("b", "b")))
    committed.write_text("{}")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "two")
    for path in (committed, added, records / f"t.py-test_a-{'a' * 12}-{'c' * 12}.safetensors", records / "helper.py"):
        path.write_text("changed\n")
    with added.with_name(f"t.py-test_b-{'b' * 12}-{'d' * 12}.safetensors").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (tmp_path / "one.py").write_text("2\n")
    git(tmp_path, "add", "-A")
    patch = make_patch(tmp_path, [], records=records)
    assert re.findall(rb"^diff --git a/(\S+)", patch.data, re.MULTILINE) == [b"one.py", b"records/helper.py"]
    assert patch.notes == ()


def test_a_repository_inside_the_repository_is_left_out_by_name_with_its_state(tmp_path: Path) -> None:
    commit(tmp_path, one="1\n")
    commit(tmp_path / "nested", mod="2\n")
    (tmp_path / "nested" / "mod.py").write_text("3\n")
    (tmp_path / "one.py").write_text("4\n")
    patch = make_patch(tmp_path, [str(tmp_path / "nested" / "mod.py")])
    head = git(tmp_path / "nested", "rev-parse", "HEAD").strip()
    assert patch.notes == (f"nested: another repository, commit {head} with changes",)
    assert b"+4" in patch.data
    assert b"nested" not in patch.data


def test_a_package_in_the_place_of_a_module_is_no_repository(tmp_path: Path) -> None:
    commit(tmp_path / "root", config="rate = 1\n")
    root = tmp_path / "root"
    (root / "config.py").rename(root / "old")
    git(root, "mv", "-k", "config.py", "old")
    (root / "config.py").mkdir()
    (root / "config.py" / "__init__.py").write_text("rate = 2\n")
    (root / "link").symlink_to(tmp_path)
    patch = make_patch(root, [str(root / "config.py" / "__init__.py")])
    assert b"+rate = 2" in patch.data
    assert not any("repository" in note for note in patch.notes), patch.notes
