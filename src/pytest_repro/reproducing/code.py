"""Whether a checkout is the recorded code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.capturing.code import describe_code
from pytest_repro.records.canonical import as_document
from pytest_repro.reproducing.findings import Pillar
from pytest_repro.reproducing.subject import Subject, mapping

#: A file that the patch lacks, which no test was seen to import or to name.
UNUSED = "untracked and not seen in use: "
_UNTRACKED = "untracked"
#: Changed files that are named.
MAX_NAMES = 5


def find_missing(subject: Subject) -> list[str]:
    """Return what of the recorded code cannot be had, whatever repository is at hand."""
    code = subject.code
    if is_unavailable(code) or not code:
        return [f"the code: {code.get('unavailable', 'not recorded')}"]
    if subject.commit is None:
        return ["the code: it was recorded without a commit"]
    missing = []
    if code.get("dirty") and subject.patch is None:
        how = "give the bundle that has them"
        if subject.is_bundle:
            how = "a bundle keeps them with --repro-evidence-patch"
        files = _list_changed(code)
        missing.append(f"the changes of the code since its commit ({files}): {how}")
    missing += [
        f"a change of the code that its patch lacks: {note}" for note in subject.notes if not note.startswith(UNUSED)
    ]
    return missing


def _list_changed(code: dict[str, Any]) -> str:
    changed = code.get("changed")
    names = list(map(str, changed)) if isinstance(changed, list) else []
    return ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def check_code(subject: Subject, checkout: Path) -> Pillar:
    """Compare a checkout, with the recorded changes applied, with the recorded state of the code."""
    here: Any = as_document(describe_code(checkout))
    there, pillar = subject.code, Pillar("code")
    if is_unavailable(here):
        pillar.missing.append(f"the checkout cannot be compared with the record: {here['unavailable']}")
        return pillar
    for name in ("commit", "tree", "submodules"):
        if there.get(name) is not None and here.get(name) != there[name]:
            pillar.missing.append(f"{name} {_show(there[name])}: the checkout has {_show(here.get(name))}")
    if pillar.missing:
        return pillar
    pillar.same.append(f"commit {str(there['commit'])[:12]}")
    if here.get("diff") == there.get("diff"):
        if there.get("diff"):
            count = there.get("changed_count")
            pillar.same.append(f"{count} changed file{'s' * (count != 1)}, by the digest of the changes")
    elif _tracked(here) == _tracked(there) and any(note.startswith(UNUSED) for note in subject.notes):
        pillar.same.append("the changes of tracked files")
        pillar.differing += [note for note in subject.notes if note.startswith(UNUSED)]
    else:
        pillar.missing.append("the recorded changes: those in the checkout have another digest")
    return pillar


def check_used(pillar: Pillar, subject: Subject, here: Any, local: tuple[str, ...]) -> None:
    """Compare the files that were used and that no commit has: ignored ones, and those outside of the repository.

    A module that is imported from elsewhere, such as the user's own checkout, is not the recorded code. By name and
    digest: the path of a file outside is another one on another machine.
    """
    data = {f"sha256:{mapping(fact).get('sha256')}" for test in subject.tests for fact in test.data.values()}
    then = {each for each in _list_used(subject.code.get("used"), local) if each[1] not in data}
    now = {each for each in _list_used(here, local) if each[1] not in data}
    for name, _ in sorted(then - now):
        pillar.missing.append(f"{name}, which no commit has and which the tests used: it was not used here as it was")
    for name, _ in sorted(now - then):
        pillar.missing.append(f"{name}, which the tests used here: it is not in the commit, and not as in the record")


def _list_used(used: Any, local: tuple[str, ...]) -> set[tuple[str, str]]:
    """Return the names and digests of used files, without an installer's links to a checkout."""
    files = [item for kind in ("ignored", "outside") for item in mapping(mapping(used).get(kind)).items()]
    return {(name.rpartition("/")[2].rstrip("'"), str(digest)) for name, digest in files if not _is_link(name, local)}


def _is_link(name: str, local: tuple[str, ...]) -> bool:
    """Return whether a file is an installer's, by which a package was used from its checkout."""
    file = name.rpartition("/")[2].lower().replace("-", "_").replace(".", "_")
    names = [each.lower().replace("-", "_") for each in (*local, "pytest-repro")]
    is_installers = file.endswith(("_pth", "_finder_py", "_egg_link"))
    return "site-packages" in name and is_installers and any(each in file for each in names)


def _tracked(code: Any) -> dict[str, Any]:
    return {name: said for name, said in mapping(code.get("lines")).items() if said != _UNTRACKED}


def _show(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)[:100]
